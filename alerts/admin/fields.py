"""Form fields that give an action exactly what was typed."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class Lines(forms.CharField):
    """Text over several lines, as written: browsers send other line ends than anybody typed."""

    def __init__(self, *, rows: int = 4, **options: Any) -> None:
        widget = forms.Textarea(
            attrs={"rows": rows, "cols": 100, "spellcheck": "false", "class": "vLargeTextField code"}
        )
        super().__init__(strip=False, widget=widget, **options)

    def to_python(self, value: Any) -> Any:
        return super().to_python(value.replace("\r\n", "\n") if isinstance(value, str) else value)


class JsonText(Lines):
    """JSON as text. A repeated name is refused: one of the two values would be lost."""

    def __init__(self, *, empty: Any, **options: Any) -> None:
        self.empty = empty
        super().__init__(required=False, **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return value  # what was typed, shown again beside its error
        return json.dumps(self.empty if value is None else value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text or not text.strip():
            return type(self.empty)()
        try:
            return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise ValidationError(f"This is not JSON: {words}.", code="invalid") from error

    def validate(self, value: Any) -> None:
        """Its shape is the action's to judge."""

    def run_validators(self, value: Any) -> None:
        pass

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(data) != (self.empty if initial is None else initial))
        except ValidationError:
            return True


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is there twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number in JSON")
