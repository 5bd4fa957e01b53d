"""What people write to say which series a server holds, and what it means."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.domain.layers import Group, Namespace, Topology
from alerts.domain.regions import Condition, Region
from alerts.domain.server_selectors import MAX_LISTED, MAX_SELECTED, check_selector, selector_region
from tests.domain.policies import TOPOLOGY

WIDE = Topology(
    (Namespace("dc", "datacenter", 1),), (Group("dc", "all"), *(Group("dc", f"r{n}", "all") for n in range(5000)))
)


@pytest.mark.parametrize(
    ("selector", "region"),
    [
        ({}, Region()),
        ({"environment": ["staging"]}, Region.of({"environment": Condition(True, frozenset(("staging",)))})),
        (
            {"environment": ["production"]},
            Region.of({"environment": Condition(True, frozenset(("production", "production-eu")))}),
        ),
        (
            {"environment": {"not_in": ["production"]}, "logical": ["web", ""]},
            Region.of(
                {
                    "environment": Condition(False, frozenset(("production", "production-eu"))),
                    "logical": Condition(True, frozenset(("web", ""))),
                }
            ),
        ),
        ({"logical": {"not_in": [""]}}, Region.of({"logical": Condition(False, frozenset(("",)))})),
    ],
)
def test_a_value_means_a_group_with_everything_below_it(selector: dict[str, Any], region: Region) -> None:
    assert check_selector(TOPOLOGY, selector) == []
    assert selector_region(TOPOLOGY, selector) == region


def test_the_label_of_a_namespace_is_used_not_its_name() -> None:
    assert selector_region(WIDE, {"dc": ["r7"]}).labels == ("datacenter",)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ([], [("type", "/selector")]),
        (None, [("type", "/selector")]),
        ({"stage": ["x"]}, [("namespace_unknown", "/selector/stage")]),
        ({"a/b": ["x"]}, [("namespace_unknown", "/selector/a~1b")]),
        ({"environment": ["staging", "stagin"]}, [("group_unknown", "/selector/environment/1")]),
        ({"environment": {"not_in": ["x"]}}, [("group_unknown", "/selector/environment/not_in/0")]),
        ({"environment": []}, [("required", "/selector/environment")]),
        ({"environment": {"not_in": []}}, [("required", "/selector/environment/not_in")]),
        ({"environment": {}}, [("required", "/selector/environment")]),
        ({"environment": {"in": ["staging"]}}, [("unknown_field", "/selector/environment/in")]),
        ({"environment": {"not_in": ["staging"], "x": 1}}, [("unknown_field", "/selector/environment/x")]),
        ({"environment": "staging"}, [("type", "/selector/environment")]),
        ({"environment": {"not_in": "staging"}}, [("type", "/selector/environment/not_in")]),
        ({"environment": [1, None]}, [("type", "/selector/environment/0"), ("type", "/selector/environment/1")]),
        (
            {"environment": ["x"], "logical": ["y"]},
            [("group_unknown", "/selector/environment/0"), ("group_unknown", "/selector/logical/0")],
        ),
        ({"environment": ["staging"] * (MAX_LISTED + 1)}, [("too_many_values", "/selector")]),
    ],
)
def test_everything_wrong_is_found_with_its_place(selector: Any, expected: list[tuple[str, str]]) -> None:
    findings = check_selector(TOPOLOGY, selector)
    assert [(finding.code, finding.pointer) for finding in findings] == expected
    assert all(finding.level == "error" and finding.message for finding in findings)


def test_an_unknown_value_is_answered_with_the_known_ones() -> None:
    (finding,) = check_selector(TOPOLOGY, {"environment": ["prod"]})
    assert "production, production-eu, staging" in finding.hint


def test_more_groups_than_a_rule_could_list_are_refused_also_when_one_word_means_them() -> None:
    assert MAX_SELECTED < 5000
    (finding,) = check_selector(WIDE, {"dc": ["all"]})
    assert finding.code == "too_many_values"
    assert check_selector(WIDE, {"dc": ["r1", "r2"]}) == []


def test_what_has_gone_from_the_topology_is_taken_at_its_word() -> None:
    selector = {"environment": ["gone"], "vanished": {"not_in": ["x"]}}
    assert selector_region(TOPOLOGY, selector) == Region.of(
        {"environment": Condition(True, frozenset(("gone",))), "vanished": Condition(False, frozenset(("x",)))}
    )
