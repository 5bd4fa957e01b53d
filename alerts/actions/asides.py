"""Work in a thread of its own, for who will not wait for all of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Answer = TypeVar("Answer")


def begun(work: Callable[[], Answer], *, name: str | None = None, daemon: bool = True) -> Future[Answer]:
    """What it returns or raises, once it has. ``daemon``: the process may end in the middle of it.

    Not a pool: who hangs holds up nobody else.
    """
    answer: Future[Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=run, name=name, daemon=daemon).start()
    return answer
