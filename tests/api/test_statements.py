"""What the API asks the database for, beside what the action behind it asks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.actions import tokens
from tests.api.conftest import Caller

OF_TRANSACTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET ")


@pytest.mark.django_db(transaction=True)
def test_a_request_costs_one_statement_for_its_token(caller: Callable[[str | None], Caller]) -> None:
    """The last use of a token is noted once a minute."""
    editor = caller("editor")
    editor.make("alert-rules", name="First", query_template="up")
    with CaptureQueriesContext(connection) as captured:
        editor.make("alert-rules", name="Second", query_template="up", severity="warning")
    asked = [query["sql"] for query in captured if not query["sql"].upper().startswith(OF_TRANSACTIONS)]
    assert tokens.digest_of(editor.token or "") in asked[0]
    assert len(asked) == 1 + 4, "\n".join(asked)
