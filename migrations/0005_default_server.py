"""The server that the settings speak of, as a row: PROMETHEUS_URL, PROMETHEUS_RULE_DIR, PROMETHEUS_RULE_LAYOUT."""

from django.db import migrations

NAME = "default"


def make_default_server(apps, schema_editor):
    apps.get_model("alerts", "PrometheusServer").objects.get_or_create(
        name=NAME, deleted_at=None, defaults={"description": "The server of the settings (PROMETHEUS_URL)."}
    )


class Migration(migrations.Migration):
    dependencies = [("alerts", "0004_prometheus_servers")]

    operations = [migrations.RunPython(make_default_server, migrations.RunPython.noop)]
