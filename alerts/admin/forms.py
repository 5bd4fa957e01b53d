"""A form whose validation is the action itself: what the API refuses is refused here, in the same words.

The action writes while the form is being validated, inside the transaction that the admin opens for the whole request;
when it objects, nothing was written and its findings become the errors of the fields they point to.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.db import models

from alerts.domain.errors import Finding, PolicyError


class PolicyForm(forms.ModelForm):
    """``renamed`` maps form fields to the action's words where they differ; ``fixed`` ones count at creation only."""

    actions: ModuleType
    renamed: ClassVar[dict[str, str]] = {}
    fixed: ClassVar[frozenset[str]] = frozenset()

    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "seen_version" in self.fields:
            self.fields["seen_version"].required = self.exists
            self.initial["seen_version"] = self.instance.version if self.exists else None

    @property
    def exists(self) -> bool:
        return self.instance.pk is not None

    def _post_clean(self) -> None:
        """In the place of the model's own validation, which knows less."""
        if self.errors:
            return
        try:
            if self.exists:
                seen = self.cleaned_data["seen_version"]
                self.instance = self.actions.update(self.instance.pk, self.values(), expected_version=seen)
            else:
                self.instance = self.actions.create(self.values())
        except PolicyError as error:
            self._object(error.findings)

    def values(self) -> dict[str, Any]:
        """What was typed, in the action's words."""
        return {
            self.renamed.get(name, name): _plain(value)
            for name, value in self.cleaned_data.items()
            if name != "seen_version" and not (self.exists and name in self.fixed)
        }

    def _object(self, findings: Iterable[Finding]) -> None:
        by_word = {self.renamed.get(name, name): name for name in self.fields}
        for finding in findings:
            word, _, rest = finding.pointer.removeprefix("/").partition("/")
            name = by_word.get(word) or by_word.get(f"{word}_id")
            self.add_error(name or NON_FIELD_ERRORS, _words(finding, rest if name else finding.pointer))

    def save(self, commit: bool = True) -> Any:
        """It is written already."""
        self.save_m2m = lambda: None  # type: ignore[method-assign]
        return self.instance


def _plain(value: Any) -> Any:
    if isinstance(value, models.Model):
        return value.pk
    return [row.pk for row in value] if isinstance(value, models.QuerySet) else value


def _words(finding: Finding, place: str) -> str:
    """Where inside the field, then the finding as everybody reads it."""
    parts = []
    if place:
        parts.append(place.replace("~1", "/").replace("~0", "~"))
    if finding.line is not None:
        parts.append(f"line {finding.line}, column {finding.column}")
    return f"{', '.join(parts)}: {finding}" if parts else str(finding)
