#!/usr/bin/env python3
"""The command line: ``manage.py up``, ``manage.py check``, and so on."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["agent"]:  # needs neither Django nor a database, and is to stay small
        from alerts.agent.__main__ import main as agent

        sys.exit(agent(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config_server.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed here: run `make setup`, then use .venv/bin/python manage.py …")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
