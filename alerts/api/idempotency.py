"""``Idempotency-Key`` on POST: the second request with a key gets the first one's answer, and nothing happens twice.

A key belongs to a user for a day. Only an answer that did something is remembered; a refused request may be sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from alerts.actions.housekeeping import ANSWERS_KEPT_FOR
from alerts.api.problems import ApiProblem
from alerts.domain.json_text import json_bytes
from alerts.models import IdempotencyRecord

MAX_KEY = 255
ABANDONED_AFTER = timedelta(minutes=10)
KEPT_HEADERS = ("ETag", "Location")

Work = Callable[[], Response]


def once(request: Request, body: dict[str, Any], work: Work, *, dry_run: bool) -> Response:
    """Run ``work`` and remember its answer in one transaction: both happened or neither. A dry run leaves no trace."""
    key = _key(request)
    if key is None or dry_run:
        return work()
    with transaction.atomic():
        record, is_new = _claim(request, key, body)
        if not is_new:
            return _replay(record)
        response = work()
        _remember(record, response)
        return response


def once_outside(request: Request, body: dict[str, Any], work: Work) -> Response:
    """The same for work that commits by itself (a delivery): meanwhile the key is taken."""
    key = _key(request)
    if key is None:
        return work()
    record, is_new = _claim(request, key, body)
    if not is_new:
        return _replay(record)
    try:
        response = work()
    except BaseException:
        record.delete()
        raise
    _remember(record, response)
    return response


def _key(request: Request) -> str | None:
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise ApiProblem(
            400, "invalid_idempotency_key", f"an Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters"
        )
    return key


def _claim(request: Request, key: str, body: dict[str, Any]) -> tuple[IdempotencyRecord, bool]:
    """This request's record: made now, or made by an equal request before."""
    now = timezone.now()
    asked = {"method": request.method, "path": request.path, "body_hash": _body_hash(request, body)}
    user_id = cast(int, request.user.pk)
    mine = IdempotencyRecord.objects.filter(user_id=user_id, key=key)
    IdempotencyRecord.objects.filter(created_at__lt=now - ANSWERS_KEPT_FOR).delete()
    mine.filter(status=None, created_at__lt=now - ABANDONED_AFTER).delete()
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(user_id=user_id, key=key, **asked), True
    except IntegrityError:
        record = mine.first()
    if record is None or record.status is None:
        raise ApiProblem(
            409, "idempotency_key_busy", "a request with this key is under way", headers={"Retry-After": "1"}
        )
    if any(getattr(record, name) != value for name, value in asked.items()):
        raise ApiProblem(409, "idempotency_key_reused", "this key was used for another request")
    return record, False


def _body_hash(request: Request, body: dict[str, Any]) -> str:
    text = json.dumps([body, sorted(request.query_params.lists())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _remember(record: IdempotencyRecord, response: Response) -> None:
    record.status = response.status_code
    record.response = json_bytes(response.data).decode()
    record.headers = {name: response[name] for name in KEPT_HEADERS if name in response}
    record.save(update_fields=["status", "response", "headers"])


def _replay(record: IdempotencyRecord) -> Response:
    headers = {**record.headers, "Idempotency-Replayed": "true"}
    return Response(orjson.loads(record.response), status=record.status, headers=headers)
