"""Log lines: one record is one line, whatever is in it."""

from __future__ import annotations

import logging
import re
import time

CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


class OneLine(logging.Formatter):
    """``time level logger: message``; line breaks and control characters are written as escapes."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), super().format(record))
