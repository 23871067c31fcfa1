"""The centre's addresses: the nodes' API, the TUF repository, blobs, and the ministry's admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from central.checkins.api import CheckInView
from central.feedback.api import ParcelsView
from central.health import HealthView, ReadinessView
from central.openapi import OpenApiView
from central.releases.api import BlobView, TufView
from central.schools.api import AuthorityView, EnrolmentView, KeyView, NonceView, SessionView, TimeView
from central.training.api import LeasesView, UpdatesView

handler404 = "central.http.missing"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index", permanent=False)),
    path("healthz", HealthView.as_view()),
    path("readyz", ReadinessView.as_view()),
    path("api/v1/openapi.json", OpenApiView.as_view()),
    path("api/v1/time", TimeView.as_view()),
    path("api/v1/authority", AuthorityView.as_view()),
    path("api/v1/keys", KeyView.as_view()),
    path("api/v1/enrolments", EnrolmentView.as_view()),
    path("api/v1/nonces", NonceView.as_view()),
    path("api/v1/sessions", SessionView.as_view()),
    path("api/v1/check-ins", CheckInView.as_view()),
    path("api/v1/parcels", ParcelsView.as_view()),
    path("api/v1/leases", LeasesView.as_view()),
    re_path(r"^api/v1/updates/(?P<sha256>[0-9a-f]{64})$", UpdatesView.as_view()),
    path("tuf/metadata/<str:name>", TufView.as_view(), {"folder": "metadata"}),
    path("tuf/targets/<path:name>", TufView.as_view(), {"folder": "targets"}),
    re_path(r"^blobs/(?P<sha256>[0-9a-f]{64})$", BlobView.as_view()),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
