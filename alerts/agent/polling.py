"""Asks for bundles, in a thread of its own: a control plane that hangs holds up no healing."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from alerts.agent.backoff import Backoff
from alerts.agent.control_plane import Away, ControlPlane, NoNews
from alerts.agent.offer import BrokenBundle, Offer

logger = logging.getLogger(__name__)

SHORTEST = 1.0
"""Seconds from one question to the next, should the other side not wait."""


class Poller:
    """``deliver`` gets what is new: an offer, or why one is broken. ``etag`` is what was handed over last."""

    def __init__(
        self, control_plane: ControlPlane, wait: int, etag: str, deliver: Callable[[Offer | BrokenBundle], None]
    ) -> None:
        self.etag = etag
        self._control_plane = control_plane
        self._wait = wait
        self._deliver = deliver
        self._backoff = Backoff()
        self._last_word = ""

    def start(self) -> None:
        threading.Thread(target=self._run, name="polling", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self.ask())

    def ask(self) -> float:
        """One question; returns how long to wait before the next."""
        began = time.monotonic()
        try:
            offer = self._control_plane.bundle(self.etag, self._wait)
        except NoNews as none:
            self._answered()
            if (words := str(none)) and words != self._last_word:
                logger.info("%s", words)
            self._last_word = words
            rest = max(SHORTEST - (time.monotonic() - began), none.retry_after)
            return rest * random.uniform(1, 2) if rest > 0 else 0.0
        except Away as away:
            self._say(str(away))
            return self._backoff.after_failure(away.retry_after)
        except BrokenBundle as broken:
            self._say(broken.message)
            self._deliver(broken)
            return self._backoff.after_failure()
        except Exception as error:  # the last thread that may ever end
            self._say(f"asking for the bundle failed: {error!r}")
            return self._backoff.after_failure()
        self._answered()
        self._last_word = ""
        self.etag = offer.content_hash
        self._deliver(offer)
        return 0.0

    def _answered(self) -> None:
        if self._backoff.failures:
            logger.info("the control plane is back")
        self._backoff.after_success()

    def _say(self, words: str) -> None:
        """The same thing once."""
        if words != self._last_word:
            logger.warning("%s; going on with what there is", words)
        self._last_word = words
