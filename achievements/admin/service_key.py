"""Keys of services (face): made here, shown once, revoked here."""

from collections.abc import Sequence
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework_api_key.models import APIKey
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from achievements.keys import SERVICE_KEY_TTL_SECONDS
from achievements.models import ServiceKey

SCOPES: Final = {"events:write": "events:write, send events"}

# The library registers a model of its own, whose keys this site does not accept.
if admin.site.is_registered(APIKey):
    admin.site.unregister(APIKey)


class ServiceKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=list(SCOPES.items()),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What the service may do with this key. Give no more than it needs.",
    )

    class Meta:
        model = ServiceKey
        fields = ("name", "scopes", "expiry_date")


@admin.register(ServiceKey)
class ServiceKeyAdmin(ModelAdmin):  # type: ignore[misc]
    form = ServiceKeyForm
    list_display = ("name", "prefix", "show_scopes", "show_state", "created", "expiry_date")
    list_filter = ("revoked",)
    search_fields = ("name", "prefix")
    actions = ("revoke",)
    fields = ("name", "scopes", "expiry_date")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        return self.fields if obj is None else ("prefix", *self.fields, "show_state", "created")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[str]:
        if obj is None:
            return ()
        always = ("prefix", "show_state", "created")
        return (*always, *self.fields) if obj.revoked else always

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            form.secret = ServiceKey.objects.assign_key(obj)
        super().save_model(request, obj, form, change)

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        request.service_key_form = form  # type: ignore[attr-defined]
        return super().save_form(request, form, change)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key in this very answer: a message would first be stored in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Copy the key now",
            "opts": self.opts,
            "key": obj,
            "secret": request.service_key_form.secret,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/achievements/servicekey/created.html", context)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ServiceKey]) -> None:
        revoked = queryset.filter(revoked=False).update(revoked=True)
        self.message_user(
            request,
            f"{revoked} {'key' if revoked == 1 else 'keys'} revoked: refused everywhere within "
            f"{SERVICE_KEY_TTL_SECONDS} seconds. It cannot be undone; a service that still needs "
            "access gets a new key.",
            messages.SUCCESS,
        )

    @admin.display(description="Scopes")
    def show_scopes(self, key: ServiceKey) -> str:
        return ", ".join(key.scopes)

    @display(description="State", label={"active": "success", "expired": "warning"})  # type: ignore[untyped-decorator]
    def show_state(self, key: ServiceKey) -> str:
        if key.revoked:
            return "revoked"
        return "expired" if key.has_expired else "active"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A deleted key leaves no trace of who could call; a revoked one does.
        return False
