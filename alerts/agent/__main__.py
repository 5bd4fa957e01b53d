"""``manage.py agent …``, or ``python -m alerts.agent …``: the same, without Django."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from alerts.agent.kept import AlreadyRunning
from alerts.agent.options import parse
from alerts.agent.running import Agent
from config_server.logs import InContext, JsonLine, OneLine

logger = logging.getLogger("alerts.agent")

CANNOT_START = 4


def main(arguments: Sequence[str]) -> int:
    options = parse(arguments, os.environ)
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLine() if os.environ.get("LOG_FORMAT") == "json" else OneLine())
    handler.addFilter(InContext())
    logging.basicConfig(handlers=[handler], level=os.environ.get("LOG_LEVEL", "INFO").upper())
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if options.server.startswith("http://"):
        logger.warning("%s is not https: the token goes there as clear text", options.server)
    if options.secret_in_clear:
        logger.warning("%s is not https: what it wants to see goes there as clear text", options.prometheus)
    try:
        return Agent(options).run()
    except AlreadyRunning as error:
        logger.error("%s", error)
    except OSError as error:
        logger.error("%s cannot be used: %s", options.keeps_in, error.strerror or error)
    return CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
