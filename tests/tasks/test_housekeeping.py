"""What nobody asks for any more goes; what is in force stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from alerts.actions import file_contents, rules
from alerts.actions.deploy import deploy
from alerts.actions.housekeeping import ANSWERS_KEPT_FOR, keep_house
from alerts.actions.releases import HISTORY
from alerts.models import FileContent, IdempotencyRecord, PrometheusServer, Release, ServerState

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


def test_servers_that_are_gone_get_no_state_by_it() -> None:
    Release.objects.create(server="gone", revision=1)
    keep_house()
    assert not ServerState.objects.filter(name="gone").exists()


@pytest.mark.parametrize("look", ["_stored_hashes", "_held_hashes"])
def test_bytes_that_are_stored_while_somebody_keeps_house_stay(look: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FileContent.objects.create(sha256="0" * 64, content=b"nobody's", size=8)
    real = getattr(file_contents, look)

    def stored_just_before() -> Any:
        Release.objects.create(server="default", revision=1, manifest={"a.yml": "a" * 64})
        FileContent.objects.create(sha256="a" * 64, content=b"new", size=3)
        return real()

    monkeypatch.setattr(file_contents, look, stored_just_before)
    keep_house()
    assert [kept.sha256 for kept in FileContent.objects.all()] == ["a" * 64]


@pytest.mark.parametrize("delivery", ["agent", "directory"])
def test_bytes_that_are_lost_are_stored_again_by_the_next_who_looks(
    delivery: str, settings: Any, rule_dir: Any
) -> None:
    settings.PROMTOOL_PATH = None
    settings.PROMETHEUS_RELOAD_ENABLED = False
    PrometheusServer.objects.update(delivery=delivery)
    rules.create({"name": "Down", "query_template": "up == 0"})
    release = deploy("test").release
    assert release is not None
    FileContent.objects.all().delete()
    assert deploy("test").release == release
    assert file_contents.contents(release.manifest, set(release.manifest)).keys() == release.manifest.keys()
