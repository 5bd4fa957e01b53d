"""One key across all scopes: where the ``policy_url`` annotation of its alerts leads."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from alerts.actions import policy
from alerts.domain.layers import KeyId, Layer
from alerts.domain.resolver import claims
from alerts.web.access import page
from alerts.web.paging import paged
from alerts.web.summary import summary


@page()
def index(request: HttpRequest) -> HttpResponse:
    """All keys, broken ones first."""
    current = policy.current()
    search = request.GET.get("q", "").strip()[:200]
    problems = current.compiled.problems
    found = [
        {
            "kind": key_id[0],
            "key": key_id[1],
            "layers": [layer.scope.text for layer in layers],
            "rules": len(plan.rules) if (plan := current.compiled.plans.get(key_id)) else 0,
            "broken": key_id in problems,
        }
        for key_id, layers in current.policy.by_key.items()
        if search.casefold() in key_id[1].casefold()
    ]
    found.sort(key=lambda item: not item["broken"])
    return render(request, "alerts/keys.html", {"summary": summary(), "paged": paged(request, found), "search": search})


@page()
def detail(request: HttpRequest, kind: str, key: str) -> HttpResponse:
    """Its layers, strongest first, and what they were compiled to."""
    current = policy.current()
    key_id: KeyId = (kind, key)
    layers = current.policy.by_key.get(key_id)
    if layers is None:
        raise Http404(f"there is no {kind} rule with the key {key!r}")
    plan = current.compiled.plans.get(key_id)
    return render(
        request,
        "alerts/key.html",
        {
            "summary": summary(),
            "kind": kind,
            "key": key,
            "layers": [(layer, _says(layer)) for layer in layers],
            "rules": plan.rules if plan else (),
            "findings": current.compiled.problems.get(key_id, ()),
        },
    )


def _says(layer: Layer) -> dict[str, Any]:
    """What a layer says, in the words of the trace."""
    defaults = dict(claims(layer))
    return dict(sorted(defaults.items()))
