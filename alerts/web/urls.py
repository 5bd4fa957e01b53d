"""The pages for people."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from alerts.web import keys, releases, servers, status, targets

urlpatterns = [
    path("", targets.index, name="targets"),
    path("login", LoginView.as_view(template_name="alerts/login.html", next_page="/"), name="login"),
    path("logout", LogoutView.as_view(next_page="/login"), name="logout"),
    path("targets/<int:target_id>", targets.detail, name="target"),
    path("policy", keys.index, name="keys"),
    path("policy/<str:kind>/<path:key>", keys.detail, name="key"),
    path("releases", releases.index, name="releases"),
    path("releases/<int:release_id>", releases.detail, name="release"),
    path("releases/<int:release_id>/rollback", releases.roll_back, name="roll-back"),
    path("servers", servers.index, name="servers"),
    path("servers/<str:name>", servers.detail, name="server"),
    path("servers/<str:name>/resume", servers.resume, name="resume-server"),
    path("resume", releases.resume, name="resume"),
    path("status", status.show, name="status"),
]
