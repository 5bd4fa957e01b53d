"""When a server was made, enabled or moved last: what was committed before is not late there. Null: not known."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("alerts", "0005_default_server")]

    operations = [
        migrations.AddField(
            model_name="serverstate",
            name="wanted_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
