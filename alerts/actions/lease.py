"""One writer per server (DESIGN 5): a lease in the database, taken by a conditional update.

Law: who does not hold the lease does not write. A holder asks again before every step that changes something outside,
so one that slept past its lease finds it gone and stops.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from alerts.models import ServerState

DURATION = timedelta(seconds=60)


class LeaseLost(Exception):
    """Somebody else writes to this server now."""


class Lease:
    """A lease that is held. ``renew`` before every step that changes something."""

    def __init__(self, server: str, holder: str) -> None:
        self.server = server
        self.holder = holder

    def renew(self) -> None:
        """Holds on for another minute, or raises LeaseLost."""
        now = timezone.now()
        mine = ServerState.objects.filter(pk=self.server, lease_holder=self.holder, lease_until__gt=now)
        if not mine.update(lease_until=now + DURATION):
            raise LeaseLost(self.server)

    def release(self) -> None:
        ServerState.objects.filter(pk=self.server, lease_holder=self.holder).update(lease_holder="", lease_until=None)


def take(server: str) -> Lease | None:
    """The lease, when nobody holds it or its holder let it run out; None otherwise."""
    now = timezone.now()
    holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    state, _ = ServerState.objects.get_or_create(pk=server)
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=now)
    if _is_dead(state.lease_holder):  # killed on this machine: no need to wait for its lease to run out
        free |= Q(lease_holder=state.lease_holder)
    if not ServerState.objects.filter(free, pk=server).update(lease_holder=holder, lease_until=now + DURATION):
        return None
    return Lease(server, holder)


def _is_dead(holder: str) -> bool:
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def held(server: str) -> Iterator[Lease | None]:
    """The lease for the time of a block; None when somebody else has it."""
    lease = take(server)
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()
