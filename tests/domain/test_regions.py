from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.domain.errors import PolicyConflict
from alerts.domain.regions import EVERYTHING, NOTHING, Condition, Region

OTHER = "a value no one lists"
DOMAIN = ("", "a", "b", "c", OTHER)
conditions = st.builds(Condition, st.booleans(), st.frozensets(st.sampled_from(DOMAIN[:-1])))
regions = st.builds(Region.of, st.dictionaries(st.sampled_from(["env", "team", "dc"]), conditions))
positions = st.fixed_dictionaries({label: st.sampled_from(DOMAIN) for label in ("env", "team", "dc")})


@given(conditions, conditions)
def test_and_or_not_of_conditions_are_conditions(one: Condition, other: Condition) -> None:
    for value in DOMAIN:
        assert one.intersect(other).holds(value) == (one.holds(value) and other.holds(value))
        assert one.union(other).holds(value) == (one.holds(value) or other.holds(value))
        assert one.complement().holds(value) == (not one.holds(value))


@given(conditions)
def test_a_condition_is_empty_only_if_no_value_holds(condition: Condition) -> None:
    assert condition.is_empty == (not any(condition.holds(value) for value in DOMAIN))
    assert condition.is_everything == all(condition.holds(value) for value in DOMAIN)


def test_not_in_is_never_empty() -> None:
    every_known = Condition(False, frozenset(DOMAIN[:-1]))
    assert not every_known.is_empty
    assert every_known.holds(OTHER)
    assert NOTHING.is_empty
    assert EVERYTHING.is_everything


@given(regions, regions, positions)
def test_a_region_holds_where_both_do(one: Region, other: Region, position: dict[str, str]) -> None:
    both = one.intersect(other)
    assert both.holds(position) == (one.holds(position) and other.holds(position))
    assert both == other.intersect(one)
    assert hash(both) == hash(other.intersect(one))


@given(regions, positions)
def test_the_matchers_of_a_region_hold_where_it_does(region: Region, position: dict[str, str]) -> None:
    if region.is_empty:
        return
    matchers = region.matchers()
    assert all(matcher.accepts(position[matcher.label]) for matcher in matchers) == region.holds(position)
    assert len({matcher.label for matcher in matchers}) == len(matchers)


def test_an_absent_label_counts_as_empty() -> None:
    assert Region.of({"env": Condition(True, frozenset(("",)))}).holds({})
    assert not Region.of({"env": Condition(False, frozenset(("",)))}).holds({})


def test_the_order_of_conditions_does_not_matter() -> None:
    prod, dba = ("env", Condition(True, frozenset(("prod",)))), ("team", Condition(True, frozenset(("dba",))))
    assert Region.of([prod, dba]) == Region.of([dba, prod])
    assert Region.of([prod, dba]).labels == ("env", "team")


@pytest.mark.parametrize(
    ("region", "text"),
    [
        (Region(), "everywhere"),
        (Region.of({"env": Condition(True, frozenset(("prod",)))}), "env = prod"),
        (Region.of({"env": Condition(False, frozenset(("",)))}), "env present"),
        (
            Region.of({"env": Condition(False, frozenset("ba")), "dc": Condition(True, frozenset(("", "x")))}),
            'dc in ("", x) and env not in (a, b)',
        ),
        (Region.of({"env": Condition(True, frozenset("abcdefgh"))}), "env in (a, b, c, d, e, … 3 more)"),
    ],
)
def test_a_region_has_words(region: Region, text: str) -> None:
    assert region.text == str(region) == text


def test_more_than_5000_values_in_one_region_are_refused() -> None:
    half = frozenset(str(number) for number in range(2_501))
    region = Region.of({"env": Condition(True, half), "team": Condition(False, half)})
    with pytest.raises(PolicyConflict) as refused:
        region.matchers()
    assert refused.value.findings[0].code == "too_many_values"
