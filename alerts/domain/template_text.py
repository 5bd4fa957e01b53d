"""Reading a text with ``{{ }}`` in it the way Go's text/template does: literal text, placeholders, other actions.

A *placeholder* is ``{{ .name }}`` with a lower-case name and is ours to replace; every other *action* is Prometheus'.
A ``{{`` or ``}}`` within the quotes of an action opens and closes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from alerts.domain.errors import Finding

_SPACE = " \t\r\n"
_COMMENT_BEGINS = re.compile(r"\{\{(?:-[ \t\r\n]+)?/\*")
_COMMENT = re.compile(r"\{\{(?:-[ \t\r\n]+)?/\*.*?\*/(?:[ \t\r\n]+-)?\}\}", re.DOTALL)
_STRING = r'"(?:[^"\\\n]|\\[^\n])*+"|`[^`]*+`|' + r"'(?:[^'\\\n]|\\[^\n])*+'"
_STRINGS = re.compile(_STRING)
# Not possessive outside: Python before 3.11.5 loses such a group with a look-ahead inside.
_ACTION = re.compile(rf"\{{\{{((?:{_STRING}|[^\"`'}}]|\}}(?!\}}))*)\}}\}}")
_PLACEHOLDER = re.compile(r"(-[ \t\r\n]+|[ \t\r\n]*)\.([a-z][a-z0-9_]*)([ \t\r\n]+-|[ \t\r\n]*)")
_FIELD_LEFT = re.compile(r"(?<![A-Za-z0-9_)\]])\.([a-z][A-Za-z0-9_]*)")
_DOLLAR = re.compile(r"\$[A-Za-z0-9_]*")
_ASSIGNED = re.compile(r"(\$[A-Za-z0-9_]+)(?:\s*,\s*(\$[A-Za-z0-9_]+))?\s*:=")
_GIVEN = frozenset({"$", "$labels", "$value", "$externalLabels", "$externalURL"})
_BRACES = re.compile(r"\{+|\}+")


class Part(NamedTuple):
    """A stretch of the text, at ``start``. ``text`` is the name for a placeholder, the whole action for an action."""

    kind: Literal["text", "placeholder", "action"]
    text: str
    start: int


@dataclass(frozen=True)
class TemplateText:
    """``broken`` is set when the text ends inside an action; its parts then stop there."""

    parts: tuple[Part, ...]
    broken: Finding | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The placeholders' names in order of first appearance."""
        return tuple(dict.fromkeys(part.text for part in self.parts if part.kind == "placeholder"))

    @cached_property
    def actions(self) -> tuple[str, ...]:
        return tuple(part.text for part in self.parts if part.kind == "action")

    @cached_property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong with the actions of a label or annotation text, as far as it shows without running them."""
        return tuple(_faults(self))


@lru_cache(maxsize=4096)
def read(text: str) -> TemplateText:
    """The parts of a text. The white space that a placeholder's ``-`` takes away is already gone from them."""
    parts: list[Part] = []
    position, trim = 0, False
    while True:
        start = text.find("{{", position)
        literal = text[position:] if start < 0 else text[position:start]
        if trim:
            stripped = literal.lstrip(_SPACE)
            position += len(literal) - len(stripped)
            literal, trim = stripped, False
        if start < 0:
            parts.append(Part("text", literal, position))
            return TemplateText(tuple(parts))
        comment = _COMMENT.match(text, start)
        match = comment or (None if _COMMENT_BEGINS.match(text, start) else _ACTION.match(text, start))
        placeholder = match and not comment and _PLACEHOLDER.fullmatch(match[1])
        if placeholder and placeholder[1].startswith("-"):
            literal = literal.rstrip(_SPACE)
        parts.append(Part("text", literal, position))
        if match is None:
            finding = Finding("template_broken", "a {{ is never closed", offset=start, hint="close it with }}")
            return TemplateText(tuple(parts), finding)
        if placeholder:
            parts.append(Part("placeholder", placeholder[2], start))
            trim = placeholder[3].endswith("-")
        else:
            parts.append(Part("action", match[0], start))
        position = match.end()


def _faults(template: TemplateText) -> list[Finding]:
    if template.broken is not None:
        return [template.broken]
    found = _stray_braces(part for part in template.parts if part.kind == "text")
    codes = [(part.start, _code(part.text)) for part in template.parts if part.kind == "action"]
    known = _GIVEN.union(*(filter(None, names) for _, code in codes for names in _ASSIGNED.findall(code)))
    open_blocks: list[int] = []
    for start, code in codes:
        if code == "/**/":
            continue
        words = code.split(None, 1)
        if not words or "{" in code or "}" in code:
            found.append(Finding("template_broken", "{{ }} with nothing that can be run in it", offset=start))
            continue
        found += _fields_left(start, code)
        for name in _DOLLAR.findall(code):
            if name not in known:
                hint = "Prometheus knows $labels, $value, $externalLabels and $externalURL"
                found.append(Finding("template_broken", f"{name} is not defined", offset=start, hint=hint))
        match words[0]:
            case "if" | "range" | "with" | "define" | "block":
                open_blocks.append(start)
            case "end" if open_blocks:
                open_blocks.pop()
            case "end" | "else" if not open_blocks:
                found.append(Finding("template_broken", f"{{{{ {words[0]} }}}} without a beginning", offset=start))
    found += [Finding("template_broken", "a block without {{ end }}", offset=start) for start in open_blocks]
    return sorted(found, key=lambda finding: finding.offset or 0)


def _code(action: str) -> str:
    """What runs in an action: without braces, trim markers and the contents of strings."""
    if _COMMENT.fullmatch(action):
        return "/**/"
    code = _STRINGS.sub('""', action[2:-2])
    if code[:1] == "-" and code[1:2] in _SPACE:
        code = code[1:]
    if code[-1:] == "-" and code[-2:-1] in _SPACE:
        code = code[:-1]
    return code.strip()


def _fields_left(start: int, code: str) -> list[Finding]:
    return [
        Finding(
            "template_field",
            f".{name} is left inside an action, where nothing replaces it",
            offset=start,
            hint=f"a variable is replaced only where it stands alone, as {{{{ .{name} }}}}; labels are $labels.{name}",
        )
        for name in _FIELD_LEFT.findall(code)
    ]


def _stray_braces(texts: Iterable[Part]) -> list[Finding]:
    """A ``}}`` in literal text that closes more than the text opened: ``{ $value }}``, but not ``{"a": {"b": 1}}``."""
    depth = 0
    for part in texts:
        for match in _BRACES.finditer(part.text):
            run = match[0]
            if run[0] == "{":
                depth += len(run)
                continue
            if len(run) > max(depth, 1):
                message = "a }} closes nothing"
                return [Finding("template_broken", message, offset=part.start + match.start(), hint="open it with {{")]
            depth = max(0, depth - len(run))
    return []
