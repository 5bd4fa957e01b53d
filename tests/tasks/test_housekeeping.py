"""What nobody asks for any more goes; what is in force stays."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from alerts.actions.housekeeping import ANSWERS_KEPT_FOR, keep_house
from alerts.actions.releases import HISTORY
from alerts.models import IdempotencyRecord, Release, ServerState

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_old_releases_and_answers_go_and_what_is_in_force_stays() -> None:
    for server in ("default", "gone"):
        Release.objects.bulk_create(Release(server=server, revision=1, state="superseded") for _ in range(HISTORY + 5))
    in_force = Release.objects.filter(server="default").earliest("pk")
    ServerState.objects.create(name="default", loaded_release=in_force)
    user = get_user_model().objects.create(username="somebody")
    for key, age in (("old", ANSWERS_KEPT_FOR + timedelta(hours=1)), ("fresh", timedelta(0))):
        answer = IdempotencyRecord.objects.create(user=user, key=key, method="POST", path="/", body_hash="")
        IdempotencyRecord.objects.filter(pk=answer.pk).update(created_at=timezone.now() - age)
    assert keep_house() == {"releases": 9, "answers": 1, "sessions": 0}
    assert Release.objects.filter(pk=in_force.pk).exists()
    assert [answer.key for answer in IdempotencyRecord.objects.all()] == ["fresh"]
    assert keep_house() == {"releases": 0, "answers": 0, "sessions": 0}
