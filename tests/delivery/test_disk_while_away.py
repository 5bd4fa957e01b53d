"""The rule directory is right also while Prometheus is not there, or somebody else is: the next start reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import prometheus_servers, reconcile, releases, servers
from alerts.actions.delivery import rule_store
from alerts.actions.deploy import deploy
from alerts.models import PrometheusServer as Row
from alerts.models import Release, ServerState
from tests.delivery.conftest import delivered, loaded_names, state
from tests.delivery.test_faults import another_rule, codes, dangle, edit_in_place, remove_link, remove_releases
from tests.servers.prometheus import PrometheusServer

pytestmark = pytest.mark.slow

DAMAGE = {
    "a file edited in place": edit_in_place,
    "a dangling current": dangle,
    "no current": remove_link,
    "all releases gone": remove_releases,
}


def drift(release: Release) -> list[Any]:
    return rule_store(servers.spec()).drift(release.manifest)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("edited", [False, True], ids=["same policy", "newer policy"])
def test_the_last_good_set_goes_back_on_disk_while_prometheus_is_down(
    deployed: Release, server: PrometheusServer, rule_dir: Path, damage: Callable[[Path], None], edited: bool
) -> None:
    server.stop()
    damage(rule_dir)
    if edited:
        another_rule()
    failed = reconcile.reconcile().release
    assert (failed and failed.state, codes(failed)) == ("failed", {"prometheus_unavailable"})
    assert drift(deployed) == []
    server.start()
    assert loaded_names(server) == {"Down"}
    assert (state().loaded_release, state().failures) == (deployed, 1), "it is tried again"
    delivered(deploy("test"))


def test_a_set_that_promtool_refuses_does_not_keep_the_disk_from_being_healed(
    deployed: Release, server: PrometheusServer, rule_dir: Path, product: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "promtool"
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    product.PROMTOOL_PATH = str(broken)
    another_rule()
    dangle(rule_dir)
    failed = deploy("test").release
    assert (failed and failed.state, codes(failed)) == ("failed", {"promtool_broken"})
    assert drift(deployed) == []


def test_what_cannot_be_put_back_is_said_beside_why_the_delivery_failed(
    deployed: Release, server: PrometheusServer, rule_dir: Path
) -> None:
    server.stop()
    dangle(rule_dir)
    (rule_dir / "releases").rename(rule_dir / "aside")
    (rule_dir / "releases").write_text("")
    failed = deploy("test").release
    assert failed is not None
    assert failed.state == "failed"
    assert state().retry_at is not None


def test_a_url_that_leads_to_another_prometheus_leaves_the_rules_of_the_right_one_on_disk(
    deployed: Release,
    server: PrometheusServer,
    rule_dir: Path,
    tmp_path: Path,
    start_prometheus: Callable[..., PrometheusServer],
) -> None:
    other = start_prometheus(rule_dir=tmp_path / "elsewhere")
    row = Row.objects.get(name="default")
    prometheus_servers.update(row.pk, {"url": other.url})
    failed = deploy("test").release
    assert (failed and failed.state, codes(failed)) == ("rolled_back", {"read_back_mismatch"})
    assert drift(deployed) == []
    server.restart()
    assert loaded_names(server) == {"Down"}
    prometheus_servers.update(row.pk, {"url": server.url})
    delivered(deploy("test"))


def test_what_a_former_server_of_the_same_name_held_is_nobodys_last_good(deployed: Release, rule_dir: Path) -> None:
    row = Row.objects.get(name="default")
    prometheus_servers.delete([row.pk])
    prometheus_servers.create({"name": "default", "url": "http://127.0.0.1:9"})
    assert ServerState.objects.get(pk="default").loaded_release is None
    assert releases.last_good(releases.state_of("default")) == {}
