"""Many objects by their ids."""

from __future__ import annotations

from alerts.api.serializers.fields import Id, Many, StrictSerializer


class Ids(StrictSerializer):
    """Objects of one kind."""

    ids = Many(Id(), min_length=1, help_text="At most 1,000.")
