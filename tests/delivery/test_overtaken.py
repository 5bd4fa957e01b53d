"""Who was overtaken while it compiled leaves what its successor has stored as it is."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.actions import deploy as deploying
from alerts.actions import prometheus_servers, rules
from alerts.actions.deploy import deploy
from alerts.models import PrometheusServer, Release, ServerState


def test_an_older_compile_does_not_go_over_a_release_that_another_process_has_verified_meanwhile(
    deployed: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules.create({"name": "Up", "query_template": "up == 1"})
    asked_for = Release.objects.create(server="default", revision=2, trigger="api")
    compile_now = deploying._wanted

    def overtaken(*given: Any) -> Any:
        found = compile_now(*given)
        monkeypatch.setattr(deploying, "_wanted", compile_now)
        server = PrometheusServer.objects.get().pk
        for enabled in (False, True):  # which takes the lease away
            prometheus_servers.update(server, {"enabled": enabled})
        rules.create({"name": "Third", "query_template": "up == 3"})
        assert deploy("another process").good
        return found

    monkeypatch.setattr(deploying, "_wanted", overtaken)
    assert deploy("test").release is None
    asked_for.refresh_from_db()
    state = ServerState.objects.get()
    assert (asked_for.state, asked_for.revision) == ("verified", state.loaded_revision)
    assert state.loaded_release == asked_for
