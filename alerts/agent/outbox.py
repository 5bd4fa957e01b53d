"""Reports on their way: sent by a thread of their own, so that a control plane that hangs holds up no healing.

Of several reports on one release only the newest is sent: an hour away is one report, not sixty.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import Any

from alerts.agent.backoff import Backoff
from alerts.agent.control_plane import Away, ControlPlane, NotWanted

logger = logging.getLogger(__name__)

IN_PLACE = ("verified", "active")
MOST = 20
"""Releases that are waited with; older ones are forgotten."""


class Outbox:
    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._waiting: OrderedDict[int | None, dict[str, Any]] = OrderedDict()
        self._changed = threading.Condition()
        self._last_word = ""
        threading.Thread(target=self._run, name="reports", daemon=True).start()

    def put(self, report: dict[str, Any]) -> None:
        with self._changed:
            if report["state"] in IN_PLACE:
                self._forget_former(report["content_hash"])
            self._waiting[report["release"]] = report
            self._waiting.move_to_end(report["release"])
            while len(self._waiting) > MOST:
                self._waiting.popitem(last=False)
            self._changed.notify_all()

    def _forget_former(self, content_hash: str) -> None:
        """What was in place once is not any more; told late, it would be believed if it was offered again meanwhile."""
        for release, former in list(self._waiting.items()):
            if former["state"] in IN_PLACE and former["content_hash"] != content_hash:
                del self._waiting[release]

    def flush(self, timeout: float) -> bool:
        """Waits until all are sent, so long at most."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    def _run(self) -> None:
        backoff = Backoff()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                release, report = next(iter(self._waiting.items()))
            try:
                self._control_plane.report(report)
            except Away as away:
                self._say(f"cannot report: {away}")
                time.sleep(backoff.after_failure(away.retry_after))
                continue
            except NotWanted as refused:
                self._say(f"the report on release {release} is not wanted: {refused}")
            except Exception:
                logger.exception("the report on release %s cannot be sent", release)
            else:
                self._say("")
            backoff.after_success()
            with self._changed:
                if self._waiting.get(release) is report:
                    del self._waiting[release]
                self._changed.notify_all()

    def _say(self, words: str) -> None:
        """The same thing once."""
        if words and words != self._last_word:
            logger.warning("%s", words)
        self._last_word = words
