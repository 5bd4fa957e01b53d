"""Pages of a list: ``{count, next, previous, results}``, two queries whatever the size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from alerts.api.problems import ApiProblem
from alerts.api.query import Parameter, replaced

MAX_PAGE_SIZE = 1000
PAGE = Parameter("page", "integer", "The page, from 1.", default=1, maximum=2**31 - 1)
PAGE_SIZE = Parameter("page_size", "integer", "Rows per page.", default=100, maximum=MAX_PAGE_SIZE)
PAGE_PARAMETERS = (PAGE, PAGE_SIZE)


@dataclass(frozen=True)
class Listing:
    """Rows to page through; ``count`` need not select what is shown."""

    rows: QuerySet
    count: Callable[[], int]


def paginate(
    request: Request,
    listing: Listing,
    values: dict[str, Any],
    represent: Callable[[Sequence[Any]], list[dict[str, Any]]],
) -> dict[str, Any]:
    """One page. A page behind the last one is not there (404)."""
    page, size = values["page"], values["page_size"]
    start = (page - 1) * size
    if page == 1:
        # One row more: a first page that holds them all counts itself.
        found = list(listing.rows[: size + 1])
        count = len(found) if len(found) <= size else listing.count()
        found = found[:size]
    else:
        count = listing.count()
        if start >= count:
            raise ApiProblem(404, "not_found", f"there is no page {page}: {count} rows in pages of {size}")
        found = list(listing.rows[start : start + size])
    return {
        "count": count,
        "next": _page_url(request, page + 1) if start + size < count else None,
        "previous": _page_url(request, page - 1) if page > 1 else None,
        "results": represent(found),
    }


def _page_url(request: Request, page: int) -> str:
    return request.build_absolute_uri(replaced(request.query_params.dict(), request.path, page=page))
