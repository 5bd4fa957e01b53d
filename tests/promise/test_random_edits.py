"""The promise under random edits: whatever is written next, Prometheus holds what `effective` says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alerts.domain.layout import LAYOUTS, Layout
from tests.promise.edits import Editor
from tests.promise.plane import Plane
from tests.promise.predictions import Predictions

pytestmark = pytest.mark.slow


def play(plane: Plane, seed: str, rounds: int) -> Editor:
    """Rounds of: some edits, a deploy, a comparison."""
    editor = Editor(plane, seed)
    editor.edit(20)
    for number in range(rounds):
        plane.deploy()
        Predictions(plane).assert_kept(f"seed {seed}, round {number}:\n  " + "\n  ".join(editor.log[-60:]))
        editor.edit(editor.chance.randrange(1, 6))
    assert len(editor.log) > editor.refused * 2, "most edits should be possible"
    return editor


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prometheus_holds_what_effective_says_after_random_edits(
    start_plane: Callable[..., Plane], layout: Layout
) -> None:
    play(start_plane(layout, interval="500ms"), f"{layout} 1", rounds=4)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_prometheus_holds_what_effective_says_after_many_random_edits(
    start_plane: Callable[..., Plane], layout: Layout, seed: int
) -> None:
    play(start_plane(layout, interval="500ms"), f"{layout} many {seed}", rounds=40)
