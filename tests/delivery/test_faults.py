"""What can go wrong around Prometheus: the release says so, the last good files stay or come back, and it heals."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alerts.actions import reconcile, rules, status
from alerts.actions.deploy import deploy
from alerts.actions.outcomes import retry_delay
from alerts.models import Release
from tests.delivery.conftest import delivered, loaded_names, state
from tests.servers.prometheus import PrometheusServer

pytestmark = pytest.mark.slow


def codes(release: Release | None) -> set[str]:
    assert release is not None
    return {error["code"] for error in release.errors}


def current(rule_dir: Path) -> str:
    return os.readlink(rule_dir / "current")


def another_rule() -> None:
    rules.create({"name": "Another", "query_template": "up == 1"})


def test_a_delivered_policy_is_loaded_and_verified(deployed: Release, server: PrometheusServer) -> None:
    assert loaded_names(server) == {"Down"}
    assert state().loaded_release == deployed
    assert status.status()["in_sync"] is True


def test_unchanged_content_is_neither_written_nor_loaded_again(deployed: Release) -> None:
    outcome = deploy("test")
    assert (outcome.release, outcome.changed) == (deployed, False)
    assert Release.objects.count() == 1


def test_a_prometheus_that_is_down_gets_its_rules_when_it_is_back(
    deployed: Release, server: PrometheusServer, rule_dir: Path
) -> None:
    before = current(rule_dir)
    server.stop()
    another_rule()
    outcome = deploy("test")
    assert outcome.release is not None
    assert (outcome.release.state, codes(outcome.release)) == ("failed", {"prometheus_unavailable"})
    assert current(rule_dir) == before
    assert state().retry_at is not None
    assert status.status()["error"]["code"] == "prometheus_unavailable"
    server.start()
    again = delivered(deploy("test"))
    assert again.pk == outcome.release.pk, "a retry of the same content is the same release"
    assert loaded_names(server) == {"Down", "Another"}
    assert (state().failures, state().retry_at, state().last_error) == (0, None, None)


def test_a_prometheus_that_hangs_does_not_hang_the_deploy(
    deployed: Release, server: PrometheusServer, rule_dir: Path, product: Any
) -> None:
    before = current(rule_dir)
    product.PROMETHEUS_TIMEOUT = 0.5
    another_rule()
    server.pause()
    try:
        outcome = deploy("test")
    finally:
        server.resume()
    assert outcome.release is not None
    assert (outcome.release.state, codes(outcome.release)) == ("failed", {"prometheus_unavailable"})
    assert current(rule_dir) == before
    delivered(deploy("test"))


def test_a_file_of_somebody_else_that_breaks_the_reload_brings_ours_back(
    db: None, product: Any, rule_dir: Path, tmp_path: Path, start_prometheus: Callable[..., PrometheusServer]
) -> None:
    foreign = tmp_path / "foreign.yml"
    foreign.write_text("groups: []\n")
    server = start_prometheus(rule_dir=rule_dir, rule_files=[str(foreign)])
    product.PROMETHEUS_URL = server.url
    rules.create({"name": "Down", "query_template": "up == 0"})
    delivered(deploy("test"))
    before = current(rule_dir)
    foreign.write_text("groups: [{name: broken, rules: [{alert: X, expr: 'sum('}]}]\n")
    another_rule()

    refused = deploy("test").release
    assert refused is not None
    assert (refused.state, codes(refused)) == ("rolled_back", {"reload_refused", "rollback_incomplete"})
    assert current(rule_dir) == before
    assert loaded_names(server) == {"Down"}

    waiting = deploy("test").release
    assert waiting is not None
    assert (waiting.state, codes(waiting)) == ("failed", {"prometheus_config_broken"})
    assert current(rule_dir) == before, "nothing is swapped in while somebody else's file is broken"

    foreign.write_text("groups: []\n")
    delivered(deploy("test"))
    assert loaded_names(server) == {"Down", "Another"}


def test_a_prometheus_that_reads_another_directory_is_found_out(
    db: None, product: Any, rule_dir: Path, tmp_path: Path, start_prometheus: Callable[..., PrometheusServer]
) -> None:
    product.PROMETHEUS_URL = start_prometheus(rule_dir=tmp_path / "elsewhere").url
    rules.create({"name": "Down", "query_template": "up == 0"})
    release = deploy("test").release
    assert release is not None
    assert (release.state, codes(release)) == ("rolled_back", {"read_back_mismatch"})
    assert "global.yml" in release.errors[0]["message"]


def test_a_prometheus_without_lifecycle_is_named_as_such(
    db: None, product: Any, rule_dir: Path, start_prometheus: Callable[..., PrometheusServer]
) -> None:
    product.PROMETHEUS_URL = start_prometheus(rule_dir=rule_dir, lifecycle=False).url
    rules.create({"name": "Down", "query_template": "up == 0"})
    release = deploy("test").release
    assert release is not None
    assert release.state == "rolled_back"
    assert "--web.enable-lifecycle" in release.errors[0]["message"]


def test_without_promtool_it_works_and_says_that_it_is_weaker(
    server: PrometheusServer, product: Any, caplog: pytest.LogCaptureFixture
) -> None:
    product.PROMTOOL_PATH = None
    rules.create({"name": "Down", "query_template": "up == 0"})
    release = delivered(deploy("test"))
    assert {warning["code"] for warning in release.warnings} == {"promtool_absent"}
    assert "promtool was not found" in caplog.text
    assert "promtool_absent" in {warning["code"] for warning in status.status()["warnings"]}


def edit_in_place(folder: Path) -> None:
    file = folder / "current" / "global.yml"
    file.chmod(0o644)
    file.write_text("groups: []\n")


def replace_by_link(folder: Path) -> None:
    file = folder / "current" / "global.yml"
    (folder / "other.yml").write_text("groups: []\n")
    file.unlink()
    file.symlink_to(folder / "other.yml")


def add_a_file(folder: Path) -> None:
    (folder / "current" / "extra.yml").write_text("groups: [{name: x, rules: [{alert: Extra, expr: vector(1)}]}]\n")


def dangle(folder: Path) -> None:
    (folder / "current").unlink()
    (folder / "current").symlink_to("releases/nowhere")


def remove_link(folder: Path) -> None:
    (folder / "current").unlink()


def remove_releases(folder: Path) -> None:
    shutil.rmtree(folder / "releases")


def close_directory(folder: Path) -> None:
    (folder / "current").resolve().chmod(0o000)


HAND_EDITS = {
    "a file edited in place": edit_in_place,
    "a file replaced by a link": replace_by_link,
    "a file added": add_a_file,
    "a dangling current": dangle,
    "no current": remove_link,
    "all releases gone": remove_releases,
    "a directory nobody may enter": close_directory,
}


@pytest.mark.parametrize("damage", HAND_EDITS.values(), ids=HAND_EDITS.keys())
@pytest.mark.parametrize("loaded", [False, True], ids=["on disk", "and loaded"])
def test_drift_is_reported_and_healed(
    deployed: Release, server: PrometheusServer, rule_dir: Path, damage: Callable[[Path], None], loaded: bool
) -> None:
    damage(rule_dir)
    if loaded:
        server.reload()
    assert status.status()["drift"]
    healed = delivered(reconcile.reconcile())
    assert {warning["code"] for warning in healed.warnings} & {"drift_on_disk", "drift_loaded"}
    assert loaded_names(server) == {"Down"}
    assert status.status()["drift"] == []
    assert reconcile.reconcile().changed is False


def test_rules_that_a_restart_without_files_lost_come_back(
    deployed: Release, server: PrometheusServer, rule_dir: Path
) -> None:
    aside = rule_dir / "current.aside"
    os.rename(rule_dir / "current", aside)
    server.reload()
    os.rename(aside, rule_dir / "current")
    assert loaded_names(server) == set()
    healed = delivered(reconcile.reconcile())
    assert {warning["code"] for warning in healed.warnings} == {"drift_loaded"}
    assert loaded_names(server) == {"Down"}


def put_a_file_there(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def test_a_rule_loaded_with_other_words_is_noticed_though_the_numbers_are_the_same(
    deployed: Release, server: PrometheusServer, rule_dir: Path
) -> None:
    file = rule_dir / "current" / "global.yml"
    good = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(good.replace(b"up == 0", b"up == 7"))
    server.reload()
    file.write_bytes(good)
    file.chmod(0o444)
    healed = delivered(reconcile.reconcile())
    assert {warning["code"] for warning in healed.warnings} == {"drift_loaded"}
    assert {rule["query"] for group in server.rules() for rule in group["rules"]} == {"up == 0"}


BAD_DIRECTORIES = {
    "missing": (shutil.rmtree, "rule_dir_missing"),
    "a file": (put_a_file_there, "not_a_directory"),
}


@pytest.mark.parametrize(("spoil", "code"), BAD_DIRECTORIES.values(), ids=BAD_DIRECTORIES.keys())
def test_a_rule_directory_that_cannot_be_written_fails_the_release(
    server: PrometheusServer, rule_dir: Path, spoil: Callable[[Path], Any], code: str
) -> None:
    spoil(rule_dir)
    rules.create({"name": "Down", "query_template": "up == 0"})
    release = deploy("test").release
    assert release is not None
    assert (release.state, codes(release)) == ("failed", {code})
    assert (state().last_error or {})["code"] == code
    another_rule()  # the policy can still be edited


def test_rules_that_cannot_be_evaluated_are_reported_on_the_release(
    deployed: Release, server: PrometheusServer
) -> None:
    rules.create({"name": "BadRegex", "query_template": 'label_replace(vector(1), "x", "$1", "y", "(")'})
    release = delivered(deploy("test"))
    server.wait_for_evaluation()
    reconcile.reconcile()
    release.refresh_from_db()
    assert [(warning["code"], warning["rule"]) for warning in release.warnings] == [("evaluation_failed", "BadRegex")]
    assert "regular expression" in release.warnings[0]["message"]


def test_retries_wait_longer_and_longer_up_to_a_minute() -> None:
    for failures, base in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60)]:
        assert 0.75 * base <= retry_delay(failures) <= 1.25 * base
    assert len({retry_delay(5) for _ in range(20)}) > 10, "without jitter all servers would be asked at once"
