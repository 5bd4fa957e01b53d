"""The three namespaces everybody begins with, and the row that counts revisions."""

from django.db import migrations

NAMESPACES = [
    ("infrastructure", 10, "Where it runs: data centre, rack, cluster."),
    ("logical", 50, "What it belongs to: team, service, role."),
    ("environment", 100, "What it is for: production, staging, development."),
]


def seed(apps, schema_editor):
    apps.get_model("alerts", "PolicyState").objects.get_or_create(pk=1)
    namespaces = apps.get_model("alerts", "Namespace").objects
    for name, priority, description in NAMESPACES:
        namespaces.create(name=name, label=name, priority=priority, description=description)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_initial")]

    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
