"""The same deploy, into a real vmalert: loaded and verified, refused and taken back, changed behind our back."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import reconcile, rules
from alerts.actions.deploy import deploy
from alerts.models import Release
from tests.delivery.conftest import delivered, state
from tests.servers.victoriametrics import VmalertServer

pytestmark = pytest.mark.slow


@pytest.fixture
def vmalert(db: None, product: Any, rule_dir: Path, start_vmalert: Callable[..., VmalertServer]) -> VmalertServer:
    started = start_vmalert(rule_dir=rule_dir)
    product.PROMETHEUS_URL = started.url
    product.PROMETHEUS_TIMEOUT = 15.0
    return started


@pytest.fixture
def deployed(vmalert: VmalertServer) -> Release:
    rules.create(
        {
            "name": "Down",
            "query_template": "up  ==  0",
            "severity": "critical",
            "config": {"for_duration": "90s", "keep_firing_for": "5m", "annotations": {"summary": "{{ $labels.job }}"}},
        }
    )
    return delivered(deploy("test"))


def loaded_names(server: VmalertServer) -> set[str]:
    return {rule["name"] for group in server.rules() for rule in group["rules"]}


def test_a_policy_is_delivered_into_vmalert(deployed: Release, vmalert: VmalertServer) -> None:
    assert loaded_names(vmalert) == {"Down"}
    assert state().loaded_release == deployed
    for name in ("Another", "Zero"):  # in one group, before and after the first
        rules.create({"name": name, "query_template": "up == 1"})
    delivered(deploy("test"))
    assert loaded_names(vmalert) == {"Down", "Another", "Zero"}
    assert deploy("test").changed is False


def test_what_vmalert_refuses_is_taken_back_with_its_reason(
    deployed: Release, vmalert: VmalertServer, rule_dir: Path
) -> None:
    before = os.readlink(rule_dir / "current")
    annotations = {"link": '{{ graphLink "up" }}'}  # a function of Prometheus' own, which promtool knows
    rules.create({"name": "Linked", "query_template": "up", "config": {"annotations": annotations}})
    release = deploy("test").release
    assert release is not None
    assert release.state == "rolled_back", release.errors
    assert release.errors[0]["code"] == "reload_refused"
    assert 'function "graphLink" not defined' in release.errors[0]["message"]
    assert len(release.errors) == 1, "going back went well"
    assert os.readlink(rule_dir / "current") == before
    assert loaded_names(vmalert) == {"Down"}
    vmalert.restart()
    assert loaded_names(vmalert) == {"Down"}


def test_drift_in_vmalert_is_found_and_healed(deployed: Release, vmalert: VmalertServer, rule_dir: Path) -> None:
    (file,) = (rule_dir / "current").glob("*.yml")
    content = file.read_text()
    file.unlink()
    file.write_text(content.replace("Down", "Up"))
    vmalert.restart()
    assert loaded_names(vmalert) == {"Up"}
    reconcile.reconcile()
    assert loaded_names(vmalert) == {"Down"}
    assert file.read_text() == content
