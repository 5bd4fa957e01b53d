"""Many rules in one write leave what the same writes one by one leave, and are refused where those would be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.actions import bulk_rules, judging, policy, rules
from alerts.actions.errors import InvalidPolicy, PolicyConflict, PolicyError
from alerts.actions.related import of_few, of_many
from alerts.api.serializers.rules import AlertRule as Serializer
from alerts.domain.compiler import compile_policy
from alerts.domain.errors import Finding
from alerts.domain.promql import expression
from alerts.models import AlertRule, PolicyState, RuleMetric

UP = {"query_template": "up == 0", "severity": "warning"}


def item(external_id: str, **values: Any) -> dict[str, Any]:
    return {"external_id": external_id, **values}


def objections(error: pytest.ExceptionInfo[PolicyError]) -> list[tuple[str, str]]:
    return [(finding.pointer, finding.code) for finding in error.value.findings]


def test_rules_are_created_written_anew_and_left_alone(world: SimpleNamespace) -> None:
    first = [item("a", name="A", priority=7, **UP), item("b", name="B", group_id=world.berlin.pk, **UP)]
    made = bulk_rules.write_all(first)
    assert (made.created, made.updated, made.unchanged) == (2, 0, 0)
    revision = PolicyState.current()
    assert bulk_rules.write_all(first) == bulk_rules.Outcome(0, 0, 2, made.ids)
    assert PolicyState.current() == revision
    again = bulk_rules.write_all([item("c", name="C", **UP), item("a", name="A", **UP), first[1]])
    assert (again.created, again.updated, again.unchanged) == (1, 1, 1)
    assert again.ids[1:] == made.ids
    row = AlertRule.objects.get(pk=made.ids[0])
    assert (row.priority, row.version, row.revision) == (100, 2, revision + 1), "what was left out has its default"
    assert AlertRule.objects.get(pk=made.ids[1]).version == 1


def test_what_is_left_out_has_the_default_it_has_in_a_put() -> None:
    shown = Serializer(data={"name": "A"})
    assert shown.is_valid()
    said = {name: value for name, value in shown.validated_data.items() if name not in ("external_id", "name")}
    assert said == {name: value for name, value in rules.defaults().items() if name != "name"}


def test_a_deleted_rule_is_another_one(world: SimpleNamespace) -> None:
    made = bulk_rules.write_all([item("a", name="A", **UP)]).ids
    rules.delete([made[0] or 0])
    again = bulk_rules.write_all([item("a", name="A", **UP)])
    assert again.created == 1
    assert again.ids != made


def test_rules_may_swap_their_places_and_a_recording_may_come_last(world: SimpleNamespace) -> None:
    at = [{"group_id": world.berlin.pk}, {"namespace_id": world.stage.pk}]
    made = bulk_rules.write_all([item("a", name="A", **UP, **at[0]), item("b", name="A", **UP, **at[1])])
    reader = item("r", name="R", query_template="job:up > 1")
    record = item("w", name="job:up", kind="recording", query_template="sum by (target, site) (up)")
    swapped = [item("a", name="A", **UP, **at[1]), item("b", name="A", **UP, **at[0]), reader, record]
    outcome = bulk_rules.write_all(swapped)
    assert (outcome.created, outcome.updated) == (2, 2)
    found = dict(AlertRule.objects.filter(pk__in=made.ids).values_list("external_id", "scope_key"))
    assert found == {"a": f"namespace:{world.stage.pk}", "b": f"group:{world.berlin.pk}"}


def test_metrics_are_noted_as_by_single_writes(world: SimpleNamespace) -> None:
    def noted() -> set[tuple[str, str]]:
        return set(
            RuleMetric.objects.filter(rule__external_id__isnull=False).values_list("rule__external_id", "metric")
        )

    bulk_rules.write_all([item("a", name="A", query_template="x + y"), item("b", name="B", query_template="z")])
    assert noted() == {("a", "x"), ("a", "y"), ("b", "z")}
    bulk_rules.write_all([item("a", name="A", query_template="q"), item("b", name="B", query_template="z > 1")])
    assert noted() == {("a", "q"), ("b", "z")}


def test_every_fault_of_every_rule_is_told_and_nothing_is_stored(world: SimpleNamespace) -> None:
    before = AlertRule.objects.count(), PolicyState.current()
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all(
            [
                item("a", name="A", query_template="sum(", severity="x"),
                item("good", name="B", **UP),
                item("a", name="C", **UP),
                {"name": "D", **UP},
                item("e", name="E", group_id=10**6, **UP),
                item("f", name="HighLoad", group_id=world.berlin.pk, **UP),
                item("g", name="B", **UP),
                item("h", name="H", template_id=10**6),
            ],
        )
    assert objections(error) == [
        ("/rules/0/severity", "severity_unknown"),
        ("/rules/0/query_template", "invalid_promql"),
        ("/rules/2/external_id", "duplicate"),
        ("/rules/3/external_id", "required"),
        ("/rules/4/group_id", "unknown_reference"),
        ("/rules/5/key", "taken"),
        ("/rules/6/key", "taken"),
        ("/rules/7/template_id", "unknown_reference"),
    ]
    assert (AlertRule.objects.count(), PolicyState.current()) == before


def test_what_does_not_compile_is_told_where_it_stands(world: SimpleNamespace) -> None:
    values = [item(str(number), name=f"A{number}", **UP) for number in range(3)]
    values[2] |= {"group_id": world.berlin.pk, "query_template": 'up{site="elsewhere"}'}
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all(values)
    assert {pointer for pointer, _ in objections(error)} == {"/rules/2/query_template"}
    assert [finding.rule_id for finding in error.value.findings] == [None]


def test_faults_of_every_kind_are_told_at_once(world: SimpleNamespace, promtool: Any, settings: Any) -> None:
    settings.PROMTOOL_PATH = str(promtool)
    before = AlertRule.objects.count(), PolicyState.current()
    here = {"group_id": world.berlin.pk}
    values = [
        item("sound", name="Sound", **UP),
        item("promtool", name="P", query_template=INFO),
        item("query", name="Q", query_template="sum("),
        item("shape", name="S"),
        item("nowhere", name="N", group_id=10**6, **UP),
        item("compile", name="C", query_template='up{site="elsewhere"}', **here),
        item("sound", name="Again", **UP),
        item("taken", name="HighLoad", **here, **UP),
        item("one", name="Same", key="one", **UP),
        item("other", name="Same", key="other", **UP),
    ]
    wrong = Finding("type", "is no number", "/priority")
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all(values, faults={3: [wrong]})
    assert objections(error) == [
        ("/rules/1/query_template", "promtool_refused"),
        ("/rules/2/query_template", "invalid_promql"),
        ("/rules/3/priority", "type"),
        ("/rules/4/group_id", "unknown_reference"),
        ("/rules/5/query_template", "scope_contradiction"),
        ("/rules/6/external_id", "duplicate"),
        ("/rules/7/key", "taken"),
        ("/rules/8", "identity_taken"),
        ("/rules/9", "identity_taken"),
    ]
    assert (AlertRule.objects.count(), PolicyState.current()) == before


def test_of_the_keys_of_a_faulty_rule_nothing_more_is_said(world: SimpleNamespace) -> None:
    """What is there of them would put the others in a wrong light: both readers fit what was meant."""
    base = item("base", name="K", **UP)
    record = item("record", name="job:up", kind="recording", query_template="sum(up)")
    bulk_rules.write_all([base, record])
    says = item("says", key="K", merge_strategy="merge", group_id=world.berlin.pk, config={"template_vars": {"n": 2}})
    reads = item("reads", name="R", query_template="job:up > 1", group_id=world.berlin.pk)
    for reader in (says, reads):
        with pytest.raises(PolicyError):
            bulk_rules.write_all([reader])
    variables = [{"name": "n", "type": "number", "default": 1}]
    meant = {**base, "query_template": "up > {{ .n }}", "variables": variables}
    recorded = {**record, "query_template": "sum by (site, stage, target) (up)"}
    assert bulk_rules.write_all([meant, says, recorded, reads], dry_run=True).created == 2
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all([{**meant, "severity": "none"}, says, {**recorded, "unscoped": [""]}, reads])
    assert objections(error) == [("/rules/0/severity", "severity_unknown"), ("/rules/2/unscoped/0", "metric_name")]


def test_a_place_that_a_faulty_rule_may_leave_is_not_called_taken(world: SimpleNamespace) -> None:
    places = [{"group_id": world.berlin.pk}, {"namespace_id": world.stage.pk}]
    bulk_rules.write_all([item("a", name="A", **UP, **places[0]), item("b", name="A", **UP, **places[1])])
    bulk_rules.write_all([item("m", name="M", **UP), item("n", name="N", **UP)])
    swapped = [item("a", name="A", query_template="sum(", **places[1]), item("b", name="A", **UP, **places[0])]
    # One moves to the key of a faulty rule, and so stays; another one would come to where it is.
    moved = [item("m", name="A", **UP), item("n", name="M", **UP)]
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all([*swapped, *moved])
    assert objections(error) == [("/rules/0/query_template", "invalid_promql")]


def test_two_alerts_that_nobody_could_tell_apart_are_a_conflict(world: SimpleNamespace) -> None:
    with pytest.raises(PolicyConflict) as error:
        bulk_rules.write_all([item("a", name="A", key="a", **UP), item("b", name="A", key="b", **UP)])
    assert set(objections(error)) == {("/rules/0", "identity_taken"), ("/rules/1", "identity_taken")}


INFO = "info(up) == 0"
"""Only promtool knows that this is not enabled."""


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"scope": "group"},
        {"scope": "target"},
        {"scope": "group", "enabled": False},
        {"key": "HighLoad", "merge_strategy": "merge", "allow_split": True},
        {"key": "HighLoad", "scope": "target", "enabled": False},
        {"query_template": f"up\n  and {INFO}", "scope": "group"},
    ],
)
def test_what_promtool_refuses_is_told_once_and_where_it_was_written(
    world: SimpleNamespace, promtool: Any, settings: Any, values: dict[str, Any]
) -> None:
    settings.PROMTOOL_PATH = str(promtool)
    scopes = {"group": {"group_id": world.europe.pk}, "target": {"target_id": world.web.pk}, None: {}}
    written = {"name": "P", "query_template": INFO, **values, **scopes[values.get("scope")]}
    written.pop("scope", None)
    sound = {"name": "Sound", "group_id": world.berlin.pk, **UP}
    for refused in (
        lambda: rules.create(written),
        lambda: bulk_rules.write_all([item("sound", **sound), item("p", **written)]),
    ):
        with pytest.raises(InvalidPolicy) as error:
            refused()
        (finding,) = error.value.findings
        line = written["query_template"].count("\n") + 1
        assert (finding.pointer.endswith("/query_template"), finding.code) == (True, "promtool_refused")
        assert (finding.line, finding.offset) == (line, written["query_template"].index("info"))


NOTHING, NOPE = ({"annotations": {name: f"{{{{ $value | {name} }}}}"}} for name in ("nothing", "nope"))


@pytest.mark.parametrize("layout", ["per-scope", "consolidated"])
def test_what_promtool_refuses_is_told_of_the_rule_that_says_it(
    world: SimpleNamespace, promtool: Any, settings: Any, layout: str
) -> None:
    settings.PROMTOOL_PATH, settings.PROMETHEUS_RULE_LAYOUT = str(promtool), layout
    says_nothing = {"key": "a:b", "kind": "recording", "merge_strategy": "merge", "group_id": world.berlin.pk}
    refused = {"name": "a:b", "kind": "recording", "query_template": "mad_over_time(up[5m])"}
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all([item("m", **says_nothing), item("r", **refused)])
    assert objections(error) == [("/rules/1/query_template", "promtool_refused")]
    rules.create(says_nothing)
    with pytest.raises(InvalidPolicy) as error:
        rules.create(refused)
    assert [(finding.pointer, finding.line) for finding in error.value.findings] == [("/query_template", 1)]


def test_an_alert_and_a_recording_of_one_key_are_told_apart(
    world: SimpleNamespace, promtool: Any, settings: Any
) -> None:
    settings.PROMTOOL_PATH = str(promtool)
    alert = item("a", name="a:b", query_template=INFO)
    record = item("b", name="a:b", kind="recording", query_template="info(up)")
    sound = {**record, "query_template": "up"}
    for values, wanted in (([alert, record], [0, 1]), ([alert, sound], [0]), ([sound, alert], [1])):
        with pytest.raises(InvalidPolicy) as error:
            bulk_rules.write_all(values)
        assert objections(error) == [(f"/rules/{place}/query_template", "promtool_refused") for place in wanted]


def test_what_only_a_layer_without_a_query_says_is_told_too(
    world: SimpleNamespace, promtool: Any, settings: Any
) -> None:
    settings.PROMTOOL_PATH = str(promtool)
    layer = item("m", key="K", merge_strategy="merge", group_id=world.berlin.pk, config=NOPE)
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all([item("a", name="K", config=NOTHING, **UP), layer])
    told = " ".join(finding.message for finding in error.value.findings)
    assert "nothing" in told
    assert "nope" in told


def test_promtool_says_which_rule_it_refuses(world: SimpleNamespace, promtool: Any, settings: Any) -> None:
    settings.PROMTOOL_PATH = str(promtool)
    values = [item(str(number), name=f"A{number}", **UP) for number in range(3)]
    values[1]["config"] = {"annotations": {"summary": "{{ $value | nothing }}"}}
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all(values)
    assert {pointer for pointer, _ in objections(error)} <= {"/rules/1/query_template", "/rules/1", *_annotation(error)}


def _annotation(error: pytest.ExceptionInfo[PolicyError]) -> set[str]:
    return {pointer for pointer, _ in objections(error) if pointer.startswith("/rules/1/config/annotations")}


def test_a_template_begins_a_rule_once(world: SimpleNamespace) -> None:
    made = [item("a", name="A", template_id=world.template.pk)]
    assert bulk_rules.write_all(made).created == 1
    assert AlertRule.objects.get(external_id="a").query_template == "load1 > {{ .threshold }}"
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all(made)
    assert objections(error) == [("/rules/0/template_id", "create_only")]


def test_a_dry_run_stores_nothing_and_names_no_new_ids(world: SimpleNamespace) -> None:
    made = bulk_rules.write_all([item("a", name="A", **UP)]).ids
    before = list(AlertRule.objects.order_by("pk").values())
    outcome = bulk_rules.write_all([item("a", name="A", priority=5, **UP), item("b", name="B", **UP)], dry_run=True)
    assert outcome == bulk_rules.Outcome(1, 1, 0, [*made, None])
    assert list(AlertRule.objects.order_by("pk").values()) == before


LONG = 7.118639715332314e18
"""PostgreSQL gives it back as an integer, which is another number: 7118639715332314000 and no …4112."""


@pytest.mark.parametrize("others", [0, 60])
def test_what_is_judged_are_the_numbers_that_are_stored(world: SimpleNamespace, settings: Any, others: int) -> None:
    settings.PROMTOOL_PATH = None
    bounded = [{"name": "z", "type": "number", "max": LONG, "default": 1}]
    given = {"template_vars": {"z": 7118639715332314050}}
    values = [item("a", name="A", query_template="up == {{ .z }}", variables=bounded, config=given)]
    values += [item(f"x{number}", name=f"X{number}", query_template=f"up == {number}") for number in range(others)]
    if connection.vendor == "postgresql":
        with pytest.raises(InvalidPolicy) as error:
            bulk_rules.write_all(values)
        assert objections(error) == [("/rules/0/config/template_vars/z", "variable_range")]
    else:
        assert bulk_rules.write_all(values).created == 1 + others
    assert compile_policy(policy.load(), policy.options()).problems == {}


def test_too_many_are_refused_at_once(world: SimpleNamespace) -> None:
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all([item(str(number)) for number in range(bulk_rules.MOST_RULES + 1)])
    assert objections(error) == [("/rules", "too_many")]


# -- bulk ≡ one by one -------------------------------------------------------------------------------------------------

QUERIES = ("up == 0", "sum by (site) (up) > 1", "sum(up) > 1", "job:up > 1", "job:up + up", 'up{site="kiel"}', "sum(")


def items(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for external_id in draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1, max_size=5)):
        values = item(external_id, key=draw(st.sampled_from(("K", "L", "job:up"))), place=draw(st.integers(0, 4)))
        if values["key"] == "job:up":
            values["kind"] = "recording"
        if draw(st.integers(0, 5)):
            values["query_template"] = draw(st.sampled_from(QUERIES))
        if draw(st.booleans()):
            values["config"] = draw(st.sampled_from(({"for_duration": "5m"}, {"labels": {"team": "core"}})))
        if draw(st.integers(0, 3)) == 0:
            values["name"] = draw(st.sampled_from(("N", "K")))
        if values["key"] == "job:up":
            values.pop("name", None)
            values.pop("config", None)
        found.append(values)
    return found


def one_by_one(values: list[dict[str, Any]]) -> None:
    for one in values:
        row = AlertRule.objects.living().filter(external_id=one["external_id"]).first()
        if row is None:
            rules.create(one)
        else:
            rules.update(row.pk, {**rules.defaults(), **one})


def content() -> list[tuple[Any, ...]]:
    unlike = {"id", "version", "revision", "created_at", "updated_at"}
    columns = [column.attname for column in AlertRule._meta.concrete_fields if column.attname not in unlike]
    noted = RuleMetric.objects.order_by("rule__external_id", "metric").values_list("rule__external_id", "metric")
    return [*AlertRule.objects.living().order_by("external_id").values_list(*columns), *noted]


class _Undo(Exception):
    pass


def tried(work: Any, values: list[list[dict[str, Any]]]) -> tuple[bool, list[tuple[Any, ...]]]:
    """Whether all of it was accepted, and what then is there; afterwards it never was."""
    accepted, found = True, []
    try:
        with transaction.atomic():
            try:
                for some in values:
                    work(some)
            except PolicyError:
                accepted = False
            found = content()
            if accepted:
                broken = compile_policy(policy.load(), policy.options()).problems
                assert not broken, broken
            raise _Undo
    except _Undo:
        return accepted, found


@settings(max_examples=60)
@given(data=st.data())
def test_many_at_once_are_what_they_are_one_by_one(world: SimpleNamespace, settings: Any, data: st.DataObject) -> None:
    settings.PROMTOOL_PATH = None
    at = [{}, {"namespace_id": world.site.pk}, {"group_id": world.europe.pk}, {"group_id": world.berlin.pk}]
    at.append({"target_id": world.web.pk})
    drawn = st.composite(lambda draw: items(draw))()
    rounds = [
        [{**one, **at[one["place"]]} for one in some] for some in data.draw(st.lists(drawn, min_size=1, max_size=2))
    ]
    for some in rounds:
        for one in some:
            del one["place"]
    singly, alone = tried(one_by_one, rounds)
    at_once, together = tried(bulk_rules.write_all, rounds)
    if singly:
        assert at_once
        assert alone == together
    # What only many at once may do is judged by its end: ``tried`` has compiled everything.


def test_few_and_many_keys_find_the_same_relations(world: SimpleNamespace) -> None:
    record = {"kind": "recording", "query_template": "sum by (target, site, stage) (up)"}
    rules.create({"name": "job:up", **record})
    rules.create({"name": "job:up", "key": "other", **record, "group_id": world.berlin.pk})
    for number, query in enumerate(("job:up > 1", "up", 'ALERTS{alertname="HighLoad"}', "load1")):
        rules.create(
            {
                "name": "HighLoad",
                "key": f"k{number}",
                "query_template": query,
                "severity": "info",
                "config": {"labels": {"number": str(number)}},
            }
        )
    rules.create({"name": "k1", "query_template": "load5", "group_id": world.europe.pk})
    variables = [{"name": "m", "type": "string", "default": "a"}]
    rules.create({"name": "Any", "query_template": '{__name__="{{ .m }}"}', "variables": variables})
    everything = list(AlertRule.objects.values_list("kind", "key"))
    sizes = set()
    for key_id in everything:
        few = of_few([key_id], ["job:up"] if key_id[0] == "recording" else [])
        many = of_many([key_id])
        assert {key: {layer.rule_id for layer in layers} for key, layers in few.items()} == {
            key: {layer.rule_id for layer in layers} for key, layers in many.items()
        }
        sizes.add(len(few))
    assert len(sizes) > 2


def test_of_very_many_rules_promtool_still_blames_the_right_one(
    world: SimpleNamespace, settings: Any, promtool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PROMTOOL_PATH = str(promtool)
    monkeypatch.setattr(judging, "AT_ONCE", 4)
    items = [
        {"external_id": f"r{number}", "name": f"Many{number}", "query_template": f"up == {number}"}
        for number in range(9)
    ]
    items[6]["query_template"] = "info(up) == 6"  # only promtool knows that it is not enabled
    with pytest.raises(InvalidPolicy) as error:
        bulk_rules.write_all(items)
    assert [finding.pointer for finding in error.value.findings] == ["/rules/6/query_template"]


def test_what_is_written_at_once_is_parsed_once(
    world: SimpleNamespace, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PROMTOOL_PATH = None
    texts: list[str] = []

    def parsed(text: str) -> Any:
        texts.append(text)
        return expression._read(text, expression.MAX_BYTES)

    monkeypatch.setattr(expression, "_parse", parsed)  # remembers nothing, as when there are very many
    queries = [f"up == {number}" for number in range(20)]
    bulk_rules.write_all([item(query, name=query, query_template=query) for query in queries])
    assert sorted(text for text in texts if text in queries) == sorted(queries)
