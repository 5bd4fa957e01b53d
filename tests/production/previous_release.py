"""A program of the previous release, as far as the database sees it: it knows the tables as that release had them.

    python tests/production/previous_release.py      writes one more row into every table that holds one

The models are Django's historical ones, so every statement names exactly the columns that release knew.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

LAST_MIGRATION = "0003_role_groups"
# What has to differ in a second row. A table that holds one row per installation or server is updated, not added to.
DIFFERENT: dict[str, dict[str, Any]] = {
    "AlertRule": {
        "key": "WrittenByThePreviousRelease",
        "name": "WrittenByThePreviousRelease",
        "external_id": None,
        "scope_key": "global",
        "namespace_id": None,
        "group_id": None,
        "target_id": None,
    },
    "AlertTemplate": {"name": "written by the previous release", "external_id": None},
    "ApiToken": {"digest": "written by the previous release"},
    "CompiledKey": {"key": "WrittenByThePreviousRelease"},
    "FileContent": {"sha256": "written by the previous release"},
    "Group": {"name": "previous", "label_value": "previous", "external_id": None},
    "Namespace": {"name": "previous", "label": "previous", "priority": 77, "external_id": None},
    "Release": {"state": "superseded"},
    "Target": {"hostname": "written-by-the-previous-release", "external_id": None},
}
UPDATED = ("PolicyState", "ServerState")


def main() -> int:
    import django

    django.setup()
    from django.db import connection, transaction
    from django.db.migrations.loader import MigrationLoader
    from django.db.models import F

    apps = MigrationLoader(connection).project_state([("alerts", LAST_MIGRATION)]).apps
    with transaction.atomic():
        for name in UPDATED:
            for row in apps.get_model("alerts", name).objects.all():
                row.save()
        apps.get_model("alerts", "PolicyState").objects.update(revision=F("revision") + 1)
        for name, values in DIFFERENT.items():
            row = apps.get_model("alerts", name).objects.first()
            assert row is not None, f"no row of {name} to begin from"
            row.pk = None
            for field, value in values.items():
                setattr(row, field, value)
            row.save(force_insert=True)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config_server.settings")
    sys.exit(main())
