"""Throws away what nobody asks for any more. Whoever comes along may do it; twice does no harm."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.utils import timezone

from alerts.actions import file_contents, releases
from alerts.models import IdempotencyRecord, Release

ANSWERS_KEPT_FOR = timedelta(days=1)


def keep_house() -> dict[str, int]:
    """How many rows went, by kind. Releases: all but the last 500 of each server, also of servers that are gone."""
    now = timezone.now()
    before = Release.objects.count()
    for server in list(Release.objects.order_by("server").values_list("server", flat=True).distinct()):
        releases.forget_old(server)
    file_contents.forget_contents()
    answers, _ = IdempotencyRecord.objects.filter(created_at__lt=now - ANSWERS_KEPT_FOR).delete()
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()
    return {"releases": max(0, before - Release.objects.count()), "answers": answers, "sessions": sessions}
