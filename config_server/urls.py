"""All URLs: the API, the admin, and the pages."""

from django.contrib import admin
from django.urls import include, path, re_path

from alerts.api import handlers, probes

admin.autodiscover()

urlpatterns = [
    path("api/v1/", include("alerts.api.urls")),
    # With DEBUG Django would answer an unmatched URL with a page of its own.
    re_path(r"^api(/|$)", handlers.not_found),
    path("-/healthy", probes.Healthy.as_view()),
    path("-/ready", probes.Ready.as_view()),
    path("metrics", probes.Metrics.as_view()),
    path("admin/", admin.site.urls),
    path("", include("alerts.web.urls")),
]

handler400 = "alerts.api.handlers.bad_request"
handler403 = "alerts.api.handlers.forbidden"
handler404 = "alerts.api.handlers.not_found"
handler500 = "alerts.api.handlers.server_error"
