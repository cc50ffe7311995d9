"""Every address of the project."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from django_prometheus.exports import ExportToDjangoView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from achievements.api.problems import answer_not_found
from config import health

READ = ["get", "head"]

urlpatterns = [
    path("livez", health.show_liveness, name="livez"),
    path("readyz", health.show_readiness, name="readyz"),
    path("metrics", ExportToDjangoView, name="metrics"),
    path("admin/", admin.site.urls),
    path("api/schema", SpectacularAPIView.as_view(http_method_names=READ), name="schema"),
    path(
        "api/docs",
        SpectacularSwaggerSplitView.as_view(url_name="schema", http_method_names=READ),
        name="docs",
    ),
    re_path(r"^api/?$|^api/docs/$", RedirectView.as_view(pattern_name="docs")),
    path("api/v1/", include("achievements.api.urls")),
    path("api/v1/", include("profiles.api.urls")),
    re_path(r"^api/", answer_not_found),
    path("", include("profiles.urls")),
]

handler400 = "profiles.views.show_bad_request"
handler404 = "profiles.views.show_not_found"
handler500 = "profiles.views.show_server_error"
