"""What a deploy would change now. Nothing is written."""

from __future__ import annotations

from typing import Any

from alerts.actions import changes, releases, servers, wanted
from alerts.actions.refused_keys import refused_on
from alerts.models import DEFAULT_SERVER


def plan(server: str = DEFAULT_SERVER) -> dict[str, Any]:
    """The difference between what the server holds and the policy; of a pinned server, what resuming would change."""
    state = releases.state_of(server)
    known = servers.spec_at_revision(server)
    found = wanted.wanted(refused_on(state, known[1]), server=server, known=known)
    before = state.loaded_release.manifest if state.loaded_release else {}
    difference = changes.plan_from(before, found)
    return {
        "revision": found.revision,
        "loaded_revision": state.loaded_revision,
        "loaded_release": state.loaded_release_id,
        "pinned": state.pinned_release_id,
        "empty": difference.empty,
        **changes.plan_json(difference),
        "last_good": releases.last_good_json(found),
    }
