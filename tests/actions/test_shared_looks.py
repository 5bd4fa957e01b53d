"""One look for all who ask meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from alerts.actions.shared_looks import OthersWait, SharedLooks
from alerts.adapters.deliverer import Seen


class Slow:
    def __init__(self, error: Exception | None = None) -> None:
        self.looked, self.go_on, self.error = 0, threading.Event(), error

    def __call__(self) -> Seen:
        self.looked += 1
        self.go_on.wait(20)
        if self.error:
            raise self.error
        return Seen()


def test_all_who_ask_meanwhile_share_a_look_and_who_asks_later_gets_another() -> None:
    looks, slow = SharedLooks(room=4), Slow()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(looks.ask, "it", slow) for _ in range(4)]
        time.sleep(0.2)
        slow.go_on.set()
        assert len({id(one.result()) for one in asked}) == 1
    assert slow.looked == 1
    looks.ask("it", slow)
    assert slow.looked == 2


@pytest.mark.parametrize("error", [OSError("no"), TimeoutError("too long")])
def test_its_error_is_shared_too(error: Exception) -> None:
    looks, slow = SharedLooks(room=1), Slow(error)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(looks.ask, "it", slow) for _ in range(2)]
        time.sleep(0.2)
        slow.go_on.set()
        assert [one.exception() for one in asked] == [error, error]


def test_only_so_many_wait_whatever_they_wait_for() -> None:
    looks, slow = SharedLooks(room=2), Slow()
    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(looks.ask, str(number % 3), slow) for number in range(5)]
        time.sleep(1.5)
        assert [type(one.exception()) for one in asked if one.done()] == [OthersWait] * 3
        slow.go_on.set()
        assert sum(one.exception() is None for one in asked) == 2
    assert slow.looked == 3


def test_there_is_room_again_afterwards() -> None:
    looks, slow = SharedLooks(room=1), Slow()
    slow.go_on.set()
    for _ in range(3):
        looks.ask("it", slow)
    slow.go_on.clear()
    threading.Timer(1.5, slow.go_on.set).start()
    assert looks.ask("it", slow) == Seen()
