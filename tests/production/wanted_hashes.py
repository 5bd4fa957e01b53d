"""Prints what the policy wants of every server, as JSON: name to content hash."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> int:
    import django

    django.setup()
    from alerts.actions import servers
    from alerts.actions.wanted import wanted

    print(json.dumps({server.name: wanted(server=server.name).content_hash for server in servers.living()}))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config_server.settings")
    sys.exit(main())
