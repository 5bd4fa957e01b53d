"""The steps of a delivery into a directory, without a database: against a real Prometheus and promtool."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from alerts.adapters import directory_delivery
from alerts.adapters.deliverer import Bundle, Overtaken, Undelivered, deliver
from alerts.adapters.directory_delivery import DirectoryDelivery
from alerts.adapters.prometheus import Prometheus
from alerts.adapters.promtool import Promtool
from alerts.adapters.release_store import ReleaseStore
from tests.servers.prometheus import PrometheusServer


def file_of(group: str, *exprs: str) -> bytes:
    rules = "".join(f"  - alert: A{number}\n    expr: {expr}\n" for number, expr in enumerate(exprs))
    return f"groups:\n- name: {group}\n  rules:\n{rules}".encode()


ONE = Bundle.of({"a.yml": file_of("a", "up == 0"), "b.yml": file_of("b", "up == 1", "up == 2")})
GROUPS = [file_of(f"g{number}", f"up == {number}1", f"up == {number}2") for number in range(3)]
GROUPED = Bundle.of({**ONE.contents, "grouped.yml": b"groups:\n" + b"".join(GROUPS).replace(b"groups:\n", b"")})
TWO = Bundle.of({"a.yml": file_of("a", "up == 5"), "c.yml": file_of("c", "up == 3")})


class Told:
    """A journal that remembers; ``stop_before`` stands for a lease that is gone by then."""

    def __init__(self, stop_before: str = "") -> None:
        self.stop_before = stop_before
        self.steps: list[str] = []
        self.timings: dict[str, float] = {}
        self.warnings: list[Mapping[str, Any]] = []

    def before(self, step: str) -> None:
        self.steps.append(f"before {step}")
        if step == self.stop_before:
            raise InterruptedError(step)

    def entered(self, state: str) -> None:
        self.steps.append(state)

    def took(self, step: str, seconds: float) -> None:
        self.timings[step] = self.timings.get(step, 0.0) + seconds

    def warn(self, problem: Mapping[str, Any]) -> None:
        self.warnings.append(problem)


class Place:
    def __init__(self, rule_dir: Path, server: PrometheusServer, promtool: Path) -> None:
        self.server, self.promtool = server, promtool
        self.store = ReleaseStore(rule_dir)

    def delivery(self, journal: Told | None = None, good: Bundle | None = None, **more: Any) -> DirectoryDelivery:
        return DirectoryDelivery(
            self.store,
            Promtool(self.promtool),
            Prometheus(self.server.url, timeout=5, reload_timeout=5),
            journal=journal or Told(),
            fallback=lambda: good.contents if good else {},
            rule_dir=self.store.rule_dir,
            **{"patience": 0.5} | more,
        )

    def loaded(self) -> set[str]:
        return {rule["query"] for group in self.server.rules() for rule in group["rules"]}


@pytest.fixture
def place(tmp_path: Path, start_prometheus: Callable[..., PrometheusServer], promtool: Path) -> Place:
    (tmp_path / "rules").mkdir()
    beside = tmp_path / "beside.yml"
    server = start_prometheus(rule_dir=tmp_path / "rules", rule_files=[str(beside)])
    return Place(tmp_path / "rules", server, promtool)


def test_the_steps_come_in_order_and_are_told(place: Place):
    told = Told()
    assert deliver(place.delivery(told), ONE) is True
    assert told.steps == ["before stage", "staged", "checked", "before swap", "active", "before reload"]
    assert list(told.timings) == ["stage", "promtool", "health", "swap", "reload", "read_back"]
    assert place.loaded() == {"up == 0", "up == 1", "up == 2"}


@pytest.mark.parametrize(("step", "current"), [("stage", ONE), ("swap", ONE), ("reload", TWO)])
def test_whoever_is_stopped_goes_no_step_further(place: Place, step: str, current: Bundle):
    deliver(place.delivery(), ONE)
    with pytest.raises(InterruptedError):
        deliver(place.delivery(Told(stop_before=step)), TWO)
    assert place.store.current() == current.content_hash
    assert place.loaded() == {"up == 0", "up == 1", "up == 2"}


def test_an_overtaken_writer_stops_without_a_word(place: Place):
    deliver(place.delivery(fence=1), ONE)
    first = place.delivery(fence=1)
    first.stage(TWO)
    first.check()
    deliver(place.delivery(fence=2), ONE)
    with pytest.raises(Overtaken, match="its number is 2, this one's is 1"):
        first.activate()
    assert place.store.current() == ONE.content_hash


def test_an_overtaken_writer_takes_nothing_back(place: Place):
    deliver(place.delivery(fence=1), ONE)
    first = place.delivery(fence=1)
    first.stage(TWO)
    first.check()
    first.activate()
    place.store.stage(ONE.contents, 2)
    with pytest.raises(Overtaken):
        first.go_back(Undelivered("rolled_back", []))
    assert place.store.current() == TWO.content_hash


def test_a_refused_reload_brings_the_old_set_back(place: Place, tmp_path: Path):
    deliver(place.delivery(), ONE)
    (tmp_path / "beside.yml").write_bytes(file_of("x", "sum("))
    with pytest.raises(Undelivered) as refused:
        deliver(place.delivery(), TWO)
    assert refused.value.state == "rolled_back"
    assert place.store.current() == ONE.content_hash


def test_a_set_left_by_a_killed_writer_is_not_what_to_go_back_to(place: Place, tmp_path: Path):
    """It died between swap and reload; its successor, refused as well, brings the last good one back."""
    deliver(place.delivery(), ONE)
    place.store.activate(place.store.stage(TWO.contents).content_hash)
    (tmp_path / "beside.yml").write_bytes(file_of("x", "sum("))
    with pytest.raises(Undelivered) as refused:
        deliver(place.delivery(good=ONE), TWO)
    assert refused.value.state == "rolled_back"
    assert place.store.current() == ONE.content_hash


def test_where_somebody_else_reloads_nothing_is_loaded_and_nothing_read_back(place: Place):
    told = Told()
    assert deliver(place.delivery(told, reload_enabled=False), ONE) is False
    assert list(told.timings) == ["stage", "promtool", "swap"]
    assert place.store.current() == ONE.content_hash
    assert place.loaded() == set()


def edit(place: Place) -> None:
    path = place.store.link / "b.yml"
    path.chmod(0o644)
    path.write_bytes(file_of("b", "up == 1", "up == 7"))


def remove(place: Place) -> None:
    (place.store.link / "a.yml").unlink()


def add(place: Place) -> None:
    (place.store.link / "z.yml").write_bytes(file_of("z", "up == 9"))


def shorten(place: Place) -> None:
    path = place.store.link / "b.yml"
    path.chmod(0o644)
    path.write_bytes(file_of("b", "up == 1"))


def break_link(place: Place) -> None:
    os.unlink(place.store.link)


def regroup(place: Place) -> None:
    """One group says something else, one lost a rule, and one has another name."""
    path = place.store.link / "grouped.yml"
    path.chmod(0o644)
    text = path.read_bytes().replace(b"up == 01", b"up == 77").replace(b"  - alert: A1\n    expr: up == 12\n", b"")
    path.write_bytes(text.replace(b"name: g2", b"name: g9"))


@pytest.mark.parametrize("most", ["NAMES_PER_PART", "BYTES_PER_PART"])
@pytest.mark.parametrize("drift", [edit, remove, add, shorten, break_link, regroup])
def test_looking_part_by_part_finds_what_looking_at_all_finds(
    place: Place, drift: Any, most: str, monkeypatch: pytest.MonkeyPatch
):
    """Files one by one, or groups one by one."""
    monkeypatch.setattr(f"alerts.adapters.deliverer.{most}", 1)
    frugal = Bundle.of(GROUPED.contents, frugal=True)
    assert deliver(place.delivery(in_parts=True), frugal) is True
    assert not place.delivery(in_parts=True).look(frugal).any
    drift(place)
    place.server.reload()
    whole, parts = place.delivery().look(GROUPED), place.delivery(in_parts=True).look(frugal)
    assert whole.loaded
    assert sorted(map(str, parts.loaded)) == sorted(map(str, whole.loaded))
    assert parts.on_disk == whole.on_disk


def test_parts_are_bounded_and_hold_every_file_once():
    bundle = Bundle.of({f"f{number}.yml": b"#" * 150_000 for number in range(7)})
    parts = list(bundle.parts())
    assert [len(part.files) for part in parts] == [2, 2, 2, 1]
    assert sorted(name for part in parts for name in part.files) == sorted(bundle.contents)
    assert list(bundle.parts({"f3.yml"})) == [({"f3.yml"}, None)]
    assert list(bundle.parts(())) == [(set(), None)]


def test_long_files_come_group_by_group():
    groups = {f"g{number}": b"  - alert: a\n    expr: up\n" * 7_000 for number in range(5)}
    rendered = b"# by a renderer\ngroups:\n" + b"".join(
        f"- name: {name}\n  rules:\n".encode() + rules for name, rules in groups.items()
    )
    contents = {
        "long.yml": rendered,
        "short.yml": file_of("short", "up"),
        "odd.yml": rendered.replace(b"groups:", b"groups: "),
    }
    parts = list(Bundle.of(contents, frugal=True).parts())
    assert parts == [
        ({"short.yml"}, None),
        ({"long.yml"}, {"g0", "g1"}),
        ({"long.yml"}, {"g2", "g3"}),
        ({"long.yml"}, {"g4"}),
        ({"odd.yml"}, None),
    ]


def test_without_promtool_it_says_so(place: Place):
    told = Told()
    delivery = place.delivery(told)
    delivery.promtool = Promtool(None)
    assert deliver(delivery, ONE) is True
    assert [warning["code"] for warning in told.warnings] == ["promtool_absent"]


def test_the_contract_speaks_of_no_directory():
    """There is to be room for one that pushes to an API."""
    source = Path(directory_delivery.__file__).with_name("deliverer.py").read_text()
    protocol = source[source.index("class Deliverer(") : source.index("def deliver(")]
    assert not any(word in protocol for word in ("director", "swap", "link", "rule_dir"))
