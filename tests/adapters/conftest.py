"""A Prometheus of every release that has loaded the odd rules."""

from __future__ import annotations

import pytest

from alerts.adapters.prometheus import Prometheus
from alerts.adapters.release_store import ReleaseStore
from alerts.domain.renderer import render
from tests.adapters.odd_rules import ODD, RECORDINGS


@pytest.fixture
def files():
    return render([*ODD, *RECORDINGS])


@pytest.fixture
def store(tmp_path, files) -> ReleaseStore:
    (tmp_path / "rules").mkdir()
    store = ReleaseStore(tmp_path / "rules")
    store.activate(store.stage({name: file.content for name, file in files.items()}).content_hash)
    return store


@pytest.fixture
def client(start_prometheus, prometheus_version, store) -> Prometheus:
    return Prometheus(start_prometheus(version=prometheus_version, rule_dir=store.rule_dir).url)
