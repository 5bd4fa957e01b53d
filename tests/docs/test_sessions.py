"""The tour and the API guide, typed as they stand into a shell, print what they say."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.docs.documents import ROOT, blocks
from tests.docs.sessions import BEGINNING, Session

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the documents are written for curl"),
]


def test_tour_prints_what_the_readme_says(type_in: Callable[[str], list[str]]) -> None:
    tour = Session(ROOT / "README.md", "tour")
    tour.compare(type_in(tour.script()))


def test_examples_of_the_api_guide_print_what_it_says(type_in: Callable[[str], list[str]]) -> None:
    guide = Session(ROOT / "docs" / "api.md", "session")
    shorthand = next(block.body for block in blocks(guide.document.read_text("utf-8"), language="sh"))
    guide.compare(type_in(guide.script(BEGINNING + shorthand, end="kill $(jobs -p); wait")))
