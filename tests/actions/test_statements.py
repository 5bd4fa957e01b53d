"""How often a write asks the database, and that it asks by index: as fast among 100,000 rules as among none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.actions import groups, namespaces, places, rules, targets, templates
from alerts.domain.errors import PolicyError
from alerts.domain.layers import Topology
from alerts.models import AlertRule, Group, PolicyState, RuleMetric

pytestmark = pytest.mark.django_db(transaction=True)
OF_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET ")


@contextmanager
def statements(most: int) -> Iterator[list[str]]:
    """At most so many, those that begin and end transactions apart."""
    asked: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield asked
    asked += [query["sql"] for query in captured if not query["sql"].upper().startswith(OF_TRANSACTIONS)]
    assert len(asked) <= most, "\n".join(asked)


@pytest.fixture
def at(transactional_db: None) -> SimpleNamespace:
    """A small policy that is committed, and known to this process."""
    site = namespaces.create({"name": "site"})
    berlin = groups.create({"name": "berlin", "namespace_id": site.pk})
    web = targets.create({"hostname": "web-1", "groups": [berlin.pk]})
    template = templates.create({"name": "T", "query_template": "load1 > 3"})
    rule = rules.create({"name": "First", "group_id": berlin.pk, "query_template": "load1 > 4"})
    return SimpleNamespace(site=site, berlin=berlin, web=web, template=template, rule=rule)


SCOPES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "global": lambda at: {},
    "namespace": lambda at: {"namespace_id": at.site.pk},
    "group": lambda at: {"group_id": at.berlin.pk},
    "target": lambda at: {"target_id": at.web.pk},
}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_rule_is_made_in_five_statements(at: SimpleNamespace, scope: str) -> None:
    """Revision, target, rule, its metrics, all that is related to it."""
    with statements(5 if scope == "target" else 4):
        rules.create({"name": "A", "query_template": "sum by (target) (rate(a[5m])) / b", **SCOPES[scope](at)})


@pytest.mark.parametrize("scope", ["global", "namespace", "group"])
def test_a_rule_is_made_from_a_template_in_five_statements(at: SimpleNamespace, scope: str) -> None:
    with statements(5):
        rules.create({"name": "A", "template_id": at.template.pk, **SCOPES[scope](at)})


def test_a_rule_is_changed_in_four_statements(at: SimpleNamespace) -> None:
    """Revision, the rule, the change, all that is related; two more when its query reads other metrics."""
    with statements(4):
        rules.update(at.rule.pk, {"priority": 5, "query_template": "load1 > 5"})
    with statements(6):
        rules.update(at.rule.pk, {"query_template": "load5 > 5"})


def test_a_rule_is_deleted_in_four_statements(at: SimpleNamespace) -> None:
    with statements(4):
        rules.delete([at.rule.pk])


def test_who_changes_nothing_asks_twice(at: SimpleNamespace) -> None:
    before = PolicyState.objects.values().get()
    with statements(2):
        rules.update(at.rule.pk, {"priority": 100})
    assert PolicyState.objects.values().get() == before


def test_a_rule_with_many_relations_is_made_in_as_many_statements(at: SimpleNamespace) -> None:
    """Readers, namesakes and recordings come with the same question."""
    for number in range(5):
        rules.create({"name": "job:load", "key": f"r{number}", "kind": "recording", "query_template": f"load{number}"})
        rules.create(
            {
                "name": "Same",
                "key": f"s{number}",
                "query_template": "job:load",
                "severity": "warning",
                "config": {"labels": {"number": str(number)}},
            }
        )
    with statements(4):
        rules.create({"name": "Same", "key": "one more", "query_template": "job:load > 1"})


def known() -> Topology:
    """As a writer finds it."""
    from alerts.actions.writing import writing

    with writing(dry_run=True) as write:
        return write.topology


CHANGES: dict[str, Callable[[Any], Any]] = {
    "a namespace is made": lambda at: namespaces.create({"name": "stage"}),
    "a namespace is renamed": lambda at: namespaces.update(at.site.pk, {"name": "place"}),
    "a group is made": lambda at: groups.create({"name": "kiel", "namespace_id": at.site.pk}),
    "a group is moved": lambda at: groups.update(
        at.berlin.pk, {"parent_id": groups.create({"name": "europe", "namespace_id": at.site.pk}).pk}
    ),
    "a group is deleted": lambda at: groups.delete([groups.create({"name": "x", "namespace_id": at.site.pk}).pk]),
    "a group is restored": lambda at: _deleted_and_restored(at),
    "a group is purged": lambda at: _deleted_and_purged(at),
}


def _deleted_and_restored(at: SimpleNamespace) -> None:
    row = groups.create({"name": "x", "namespace_id": at.site.pk})
    groups.delete([row.pk])
    known()
    groups.restore([row.pk])


def _deleted_and_purged(at: SimpleNamespace) -> None:
    row = groups.create({"name": "x", "namespace_id": at.site.pk})
    groups.delete([row.pk])
    groups.purge([row.pk])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_places_is_noticed(at: SimpleNamespace, change: Callable[[Any], Any]) -> None:
    rules.update(at.rule.pk, {"priority": 7})  # the places are in memory now
    change(at)
    now = places.read().topology
    assert (known().namespaces, known().groups) == (now.namespaces, now.groups)
    assert PolicyState.objects.get().topology_revision == PolicyState.current()


def test_a_change_by_the_release_before_is_noticed(at: SimpleNamespace) -> None:
    """It gives revisions to its rows and notes nothing else."""
    rules.update(at.rule.pk, {"priority": 7})
    revision = PolicyState.current() + 1
    PolicyState.objects.update(revision=revision)
    Group.objects.create(name="kiel", label_value="kiel", namespace=at.site, revision=revision)
    assert known().values("site") == {"berlin", "kiel"}


def test_other_labels_in_the_settings_are_noticed(at: SimpleNamespace, settings: Any) -> None:
    settings.TARGET_LABEL = "host"
    assert known().target_label == "host"


def test_what_was_rolled_back_is_not_kept(at: SimpleNamespace) -> None:
    """The revision is given out again, for another group."""
    groups.create({"name": "kiel", "namespace_id": at.site.pk}, dry_run=True)
    groups.create({"name": "bonn", "namespace_id": at.site.pk})
    rules.create({"name": "A", "query_template": "up"})
    assert known().values("site") == {"berlin", "bonn"}


def test_a_purge_is_noted_and_moves_nothing_on(at: SimpleNamespace) -> None:
    rules.delete([at.rule.pk])
    revision = PolicyState.current()
    rules.purge([at.rule.pk])
    state = PolicyState.objects.get()
    assert (state.revision, state.purged_revision) == (revision, revision)
    assert not AlertRule.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the plans are PostgreSQL's")
def test_no_statement_goes_through_all_rules(at: SimpleNamespace) -> None:
    rows = [
        AlertRule(
            key=f"k{number}", name=f"K{number}", query_template="up", merge_strategy="override", scope_key="global"
        )
        for number in range(20_000)
    ]
    AlertRule.objects.bulk_create(rows, batch_size=5000)
    # Most rules read a few metrics: an average says nothing about a single name.
    RuleMetric.objects.bulk_create([RuleMetric(rule_id=row.pk, metric="up") for row in rows], batch_size=5000)
    record = {"kind": "recording", "query_template": "sum by (target) (up)"}
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        with statements(4) as asked:
            row = rules.create({"name": "A", "query_template": "up + job:x", "group_id": at.berlin.pk})
        with statements(6) as asked_for_update:
            rules.update(row.pk, {"query_template": "down"})
        with statements(4) as asked_for_delete:
            rules.delete([row.pk])
        with statements(4) as asked_for_record:
            rules.create({"name": "job:x", **record})
        for statement in [*asked, *asked_for_update, *asked_for_delete, *asked_for_record]:
            if statement.startswith("INSERT"):
                continue
            analyze = "(ANALYZE) " if statement.startswith("SELECT") else ""
            cursor.execute(f"EXPLAIN {analyze}" + statement.replace("%", "%%"))
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan on alerts_alertrule" not in plan, plan
            assert "Seq Scan on alerts_rulemetric" not in plan, plan
            looked_at = re.findall(r"(?:actual time=\S+ rows=|Rows Removed by \w+(?: \w+)?: )(\d+)", plan)
            assert all(int(rows) < 100 for rows in looked_at), plan


def test_who_reads_a_recording_that_another_layer_names_is_found(at: SimpleNamespace) -> None:
    rules.create({"key": "k", "name": "job:y", "kind": "recording", "query_template": "sum by (target, site) (up)"})
    rules.create({"name": "Reader", "group_id": at.berlin.pk, "query_template": "job:y > 1"})
    with pytest.raises(PolicyError) as error:
        rules.create(
            {"key": "k", "kind": "recording", "query_template": "sum by (target) (up)", "target_id": at.web.pk}
            | {"merge_strategy": "merge"}
        )
    assert {finding.code for finding in error.value.findings} == {"recording_lacks_label"}
