"""Options that make no sense: `worker` refuses them, and so does `up`, which starts one, before it starts anything."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from alerts.management import processes
from alerts.management.commands import up

OF_BOTH = [
    ("--parallel=0", "--parallel is at least 1"),
    ("--parallel=-3", "--parallel is at least 1"),
    ("--reconcile-every=0", "--reconcile-every is more than 0 and at most 86400 seconds"),
    ("--reconcile-every=nan", "--reconcile-every is more than 0 and at most 86400 seconds"),
    ("--reconcile-every=86401", "--reconcile-every is more than 0 and at most 86400 seconds"),
]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        *OF_BOTH,
        ("--poll=-1", "--poll is more than 0 and at most 86400 seconds"),
        ("--poll=nan", "--poll is more than 0 and at most 86400 seconds"),
    ],
)
def test_the_worker_refuses_what_makes_no_sense(option: str, words: str) -> None:
    with pytest.raises(CommandError, match=f"^{words}$"):
        call_command("worker", option)


@pytest.mark.parametrize(
    ("option", "words"),
    [*OF_BOTH, ("--workers=0", "--workers is at least 1"), ("--threads=0", "--threads is at least 1")],
)
def test_up_refuses_in_the_same_words_and_touches_nothing(
    option: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[object] = []
    monkeypatch.setattr(up.Command, "_prepare", lambda self: begun.append("prepare"))
    monkeypatch.setattr(processes, "start", begun.append)
    with pytest.raises(CommandError, match=f"^{words}$"):
        call_command("up", option)
    assert not begun
