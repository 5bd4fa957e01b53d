"""The line above every page: is what people wrote what Prometheus runs?"""

from __future__ import annotations

from typing import Any

from alerts.actions import releases
from alerts.models import PolicyState


def summary() -> dict[str, Any]:
    """From the database alone, so that it costs every page the same little."""
    state = releases.state_of()
    revision = PolicyState.current()
    release = state.loaded_release
    if state.pinned_release_id is not None:
        word, tone = f"pinned to release {state.pinned_release_id}", "warning"
    elif release is None:
        word, tone = "nothing delivered yet", "warning"
    elif not releases.is_good(state):
        word, tone = "the last delivery failed", "bad"
    elif state.loaded_revision < revision:
        word, tone = "a change is on its way", "warning"
    else:
        word, tone = "Prometheus holds this policy", "good"
    return {
        "revision": revision,
        "loaded_revision": state.loaded_revision,
        "release": release,
        "pinned": state.pinned_release_id,
        "last_error": state.last_error,
        "word": word,
        "tone": tone,
        "broken": release.last_good if release else [],
    }
