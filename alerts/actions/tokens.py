"""API tokens, and the role that whoever is asking has."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from alerts.actions.prepared import Prepared, columns_of, stored
from alerts.domain.errors import Finding, InvalidPolicy
from alerts.models import ApiToken, PrometheusServer, Role

MARK = "cs_"
PREFIX_LENGTH = 11
LONGEST_TOKEN = 200
USE_IS_NOTED_EVERY = timedelta(minutes=1)
_User: Any = get_user_model()
_TOKEN = columns_of(ApiToken)
_USER = columns_of(_User, without=("password", "last_login", "first_name", "last_name", "email", "date_joined"))
_BY_DIGEST = Prepared(
    lambda digest: (
        ApiToken.objects.filter(digest=digest).order_by().values_list(*_TOKEN, *(f"user__{name}" for name in _USER))
    )
)
RANKED = (Role.ADMIN, Role.EDITOR, Role.VIEWER)


def digest_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def create(
    username: str,
    role: str,
    *,
    name: str = "",
    expires_at: datetime | None = None,
    server: PrometheusServer | None = None,
) -> tuple[str, ApiToken]:
    """A new token for this user, who is made (without a password) if missing. The token itself is not kept.

    ``server`` is an agent's, whose bundle it opens; other roles have none.
    """
    if role not in Role.values:
        raise InvalidPolicy(Finding("choice", f"{role!r} is not one of: {', '.join(Role.values)}", "/role"))
    if role == Role.AGENT and server is None:
        raise InvalidPolicy(Finding("required", "The token of an agent is for one server.", "/server"))
    if role != Role.AGENT and server is not None:
        raise InvalidPolicy(Finding("not_used", "Only the token of an agent is for one server.", "/server"))
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidPolicy(Finding("out_of_range", "lies in the past", "/expires"))
    plain = MARK + secrets.token_urlsafe(32)
    with transaction.atomic():
        user = _user(username)
        row = ApiToken.objects.create(
            user=user,
            name=name,
            role=role,
            server=server,
            digest=digest_of(plain),
            prefix=plain[:PREFIX_LENGTH],
            expires_at=expires_at,
        )
    return plain, row


def create_for_agent(server_name: str, *, name: str = "", expires_at: datetime | None = None) -> tuple[str, ApiToken]:
    """A token that opens one living server's bundle and takes its agent's reports, and nothing else."""
    server = PrometheusServer.objects.living().filter(name=server_name).first()
    if server is None:
        raise InvalidPolicy(Finding("unknown_reference", f"There is no Prometheus server {server_name!r}.", "/server"))
    if server.delivery != PrometheusServer.Delivery.AGENT:
        hint = "Set its delivery to agent first."
        raise InvalidPolicy(Finding("wrong_delivery", f"{server_name} is not fed by an agent.", "/server", hint=hint))
    return create(f"agent-{server_name}", Role.AGENT, name=name, expires_at=expires_at, server=server)


def _user(username: str) -> Any:
    username = _User.normalize_username(username)
    user = _User.objects.filter(username=username).first()
    if user is None:
        user = _User(username=username)
        user.set_unusable_password()
        user.clean_fields()
        user.save()
    if not user.is_active:
        raise InvalidPolicy(Finding("inactive", f"The user {username} is not active.", "/user"))
    return user


def authenticate(token: str) -> ApiToken | None:
    """The token's row, with its user; None when it is unknown, expired, revoked, or its user inactive.

    Looked up by digest: how long that takes tells nothing about the token.
    """
    if not token.startswith(MARK) or len(token) > LONGEST_TOKEN:
        return None
    row = _in_force(digest_of(token))
    now = timezone.now()
    if row is None:
        return None
    if row.last_used_at is None or row.last_used_at < now - USE_IS_NOTED_EVERY:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
        row.last_used_at = now
    return row


def authenticate_again(row: ApiToken) -> ApiToken | None:
    """The same token as it is now, for who was let in with it a while ago; None when it is not good any more."""
    return _in_force(row.digest)


def _in_force(digest: str) -> ApiToken | None:
    # Every request begins here: one look into a unique index, and nothing asked that can be seen in the row.
    for found in _BY_DIGEST.rows(digest):
        row = stored(ApiToken, _TOKEN, found[: len(_TOKEN)])
        row.user = stored(_User, _USER, found[len(_TOKEN) :])
        if row.revoked_at is None and row.user.is_active:
            return row if row.expires_at is None or row.expires_at > timezone.now() else None
    return None


def revoke(token_id: int) -> bool:
    """False when there is none, or it was revoked before."""
    return bool(ApiToken.objects.filter(pk=token_id, revoked_at__isnull=True).update(revoked_at=timezone.now()))


def role_of(user: Any) -> str | None:
    """What a browser session may do: a superuser is admin, others have the strongest role they are in a group of."""
    if not (user and user.is_authenticated and user.is_active):
        return None
    if user.is_superuser:
        return Role.ADMIN.value
    named = set(user.groups.filter(name__in=RANKED).values_list("name", flat=True))
    return next((role.value for role in RANKED if role.value in named), None)
