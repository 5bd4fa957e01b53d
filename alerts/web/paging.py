"""A page of a long list, with links that keep the other query parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest

PAGE_SIZE = 50


@dataclass(frozen=True)
class Paged:
    """``previous`` and ``next`` are query strings, empty at the ends."""

    page: Page
    previous: str
    next: str

    @property
    def count(self) -> int:
        return self.page.paginator.count


def paged(request: HttpRequest, rows: Any, size: int = PAGE_SIZE) -> Paged:
    """The page that ``?page=`` names; one beyond the end is the last."""
    page = Paginator(rows, size).get_page(request.GET.get("page"))

    def link(number: int) -> str:
        query = request.GET.copy()
        query["page"] = str(number)
        return f"?{query.urlencode()}"

    return Paged(
        page,
        link(page.previous_page_number()) if page.has_previous() else "",
        link(page.next_page_number()) if page.has_next() else "",
    )
