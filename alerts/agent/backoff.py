"""How long to wait after a failure: exponential, capped, with full jitter, so that a thousand agents do not return at
the same moment."""

from __future__ import annotations

import random

CAP = 60.0
LONGEST_RETRY_AFTER = 600.0


class Backoff:
    def __init__(self, cap: float = CAP) -> None:
        self.cap = cap
        self.failures = 0

    def after_failure(self, retry_after: float | None = None) -> float:
        """Seconds: anything up to 1, 2, 4 … 60; never less than the other side asked for."""
        bound = min(self.cap, 2.0 ** min(self.failures, 10))
        self.failures += 1
        asked = min(max(retry_after or 0.0, 0.0), LONGEST_RETRY_AFTER)
        return asked + max(0.05, random.uniform(0, bound))

    def after_success(self) -> None:
        self.failures = 0
