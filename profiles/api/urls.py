"""Addresses of the profiles API; a face."""

from django.urls import path

import achievements.api.converters  # noqa: F401 - registers id64
from profiles.api.documents import UserAchievementsView, UserProgressView, UserSummariesView
from profiles.api.explanations import ExplanationView
from profiles.api.notifications import NotificationsView, ReadNotificationsView
from profiles.api.stream import StreamView
from profiles.api.test_results import OutcomeView, TestResultsView

urlpatterns = [
    path("test-results", TestResultsView.as_view(), name="test-results"),
    path("test-results/<id64:test_result_id>/outcome", OutcomeView.as_view(), name="outcome"),
    path("users/summaries", UserSummariesView.as_view(), name="user-summaries"),
    path(
        "users/<id64:user_id>/achievements",
        UserAchievementsView.as_view(),
        name="user-achievements",
    ),
    path("users/<id64:user_id>/progress", UserProgressView.as_view(), name="user-progress"),
    path(
        "users/<id64:user_id>/achievements/<slug:slug>/explanation",
        ExplanationView.as_view(),
        name="explanation",
    ),
    path(
        "users/<id64:user_id>/notifications",
        NotificationsView.as_view(),
        name="notifications",
    ),
    path(
        "users/<id64:user_id>/notifications/read",
        ReadNotificationsView.as_view(),
        name="notifications-read",
    ),
    path("users/<id64:user_id>/stream", StreamView.as_view(), name="stream"),
]
