"""A small policy to write into."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from alerts.actions import groups, namespaces, policy, rules, targets, templates


@pytest.fixture(autouse=True)
def fresh_policy() -> None:
    """Rolled-back tests leave the revision where it was, with other rows under it."""
    policy.forget()


@pytest.fixture
def world(db: None) -> SimpleNamespace:
    """Two sites, one below the other, a stage; a target in both; a template and a rule at the lower site."""
    site = namespaces.create({"name": "site", "priority": 10})
    stage = namespaces.create({"name": "stage", "priority": 20})
    europe = groups.create({"name": "europe", "namespace_id": site.pk})
    berlin = groups.create({"name": "berlin", "namespace_id": site.pk, "parent_id": europe.pk})
    live = groups.create({"name": "live", "namespace_id": stage.pk})
    web = targets.create({"hostname": "web-1", "groups": [berlin.pk, live.pk]})
    template = templates.create(
        {
            "name": "High load",
            "query_template": "load1 > {{ .threshold }}",
            "severity": "warning",
            "variables": [{"name": "threshold", "type": "number", "default": 8}],
            "default_config": {"for_duration": "5m"},
        }
    )
    rule = rules.create({"name": "HighLoad", "group_id": berlin.pk, "query_template": "load1 > 4"})
    return SimpleNamespace(
        site=site, stage=stage, europe=europe, berlin=berlin, live=live, web=web, template=template, rule=rule
    )
