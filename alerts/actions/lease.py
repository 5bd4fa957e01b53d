"""One writer per server (DESIGN 5): a lease in the database, taken by a conditional update.

Laws:

- Who does not hold the lease does not write. A holder asks again before every step that changes something outside
  (``confirm``), in the statement that stores how far it is (``update``) and in the transaction that stores how it went
  (``guard``).
- The clock is the database's: hosts may disagree about the time, or jump.
- ``epoch`` grows at each take. The release store turns away whoever comes with an older one. It also grows past what
  the rule directory has seen: a database that was brought back from a backup knows of lower numbers only.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections, transaction
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from alerts.actions import servers
from alerts.adapters import fence
from alerts.adapters.process_identity import is_gone, myself
from alerts.adapters.server_spec import ServerSpec
from alerts.models import ServerState

logger = logging.getLogger(__name__)

BEATS = 4
"""Renewals within one duration: three may fail."""
LONGEST_STEP = 600.0
"""Seconds from one question for the lease to the next: whoever takes longer hangs, and is no longer kept alive."""
ANSWER_HOLDS = 0.5
"""Seconds after an answer in which it is not asked for again. A process may be frozen between answer and deed anyhow:
that is what the number in the rule directory is for."""

_GUARD = (
    f"SELECT 1 FROM {ServerState._meta.db_table}"  # noqa: S608  (our own table)
    " WHERE name = %s AND lease_holder = %s AND lease_epoch = %s"
)

_alone: dict[str, tuple[int, int]] = {}
"""By server: the epoch this process took last, and that since which nobody else took one in between."""
_held_here: set[str] = set()
"""What this process holds; whatever else bears its name was lost together with the database."""


class LeaseLost(Exception):
    """Somebody else writes to this server now."""


def duration() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


class Lease:
    """A lease that is held; ``_heart`` renews it meanwhile, so that slow reloads keep it.

    ``lost``: somebody else was seen to have it. ``epoch``: the number that fences off earlier holders. ``alone_since``:
    the epoch since which this process has been the only writer.
    """

    def __init__(self, server: str, holder: str, epoch: int, alone_since: int) -> None:
        self.server = server
        self.holder = holder
        self.epoch = epoch
        self.alone_since = alone_since
        self.lost = False
        self._asked = self._confirmed = time.monotonic()
        _heart.take_on(self)

    def renew(self) -> None:
        """Holds on for a full duration again, or raises LeaseLost. Run out but taken by nobody is still ours."""
        asked = self._asked = time.monotonic()
        self._require(not self.lost and self._prolong())
        self._confirmed = asked

    def confirm(self) -> None:
        """As ``renew``, unless the answer is known from a moment ago."""
        self._asked = time.monotonic()
        if self.lost or self._asked - self._confirmed > ANSWER_HOLDS:
            self.renew()

    def guard(self) -> None:
        """Inside a transaction: nobody takes the lease before it ends; LeaseLost when somebody has."""
        if not connection.in_atomic_block:
            raise transaction.TransactionManagementError("a lease is guarded inside a transaction")
        asked = self._asked = time.monotonic()
        with connection.cursor() as cursor:  # asked at every step: by itself it is much cheaper than as a query set
            cursor.execute(*self._guard())
            self._require(cursor.fetchone() is not None)
        self._confirmed = asked

    def update(self, rows: QuerySet[Any], **values: Any) -> None:
        """Writes to these rows, of which there are some, in one statement that is guarded by itself."""
        asked = self._asked = time.monotonic()
        sql, parameters = self._guard()
        ours = RawSQL(f"EXISTS ({sql})", parameters, output_field=BooleanField())  # noqa: S611  (our own words)
        self._require(bool(rows.filter(ours).update(**values)))
        self._confirmed = asked

    def release(self) -> None:
        """Gives it back. When the database is away, this process still knows that nobody here holds it."""
        _heart.let_go(self)
        _held_here.discard(self.holder)
        try:
            self._mine().update(lease_holder="", lease_until=None)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("the lease of %s could not be given back: %s", self.server, str(error).strip())

    def _require(self, ours: bool) -> None:
        if not ours:
            self.lost = True
            raise LeaseLost(self.server)

    def _guard(self) -> tuple[str, list[str | int]]:
        """Who takes the lease changes this row, and so waits until the statement's transaction has ended."""
        lock = " FOR UPDATE" if connection.features.has_select_for_update else ""
        return _GUARD + lock, [self.server, self.holder, self.epoch]

    def _mine(self) -> QuerySet[ServerState]:
        return ServerState.objects.filter(pk=self.server, lease_holder=self.holder, lease_epoch=self.epoch)

    def _prolong(self) -> bool:
        return bool(self._mine().update(lease_until=Now() + duration()))

    def hangs(self) -> bool:
        """Whether its holder has not asked for it for so long that it is better left to run out."""
        return time.monotonic() - self._asked > LONGEST_STEP


class Heart:
    """Renews all leases that this process holds: one thread and one connection, as long as there are any.

    However many there are, a beat takes the same few queries, and waits for no row that somebody else has locked.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._leases = set[Lease]()
        self._thread: threading.Thread | None = None

    def take_on(self, lease: Lease) -> None:
        with self._changed:
            self._leases.add(lease)
            if self._thread is None or not self._thread.is_alive():  # a forked child has none
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def let_go(self, lease: Lease) -> None:
        with self._changed:
            self._leases.discard(lease)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            pause = self._every()
            while self._waited(pause):
                try:
                    pause = self._every() if self._beat(self._alive()) else self._soon()
                except (DatabaseError, InterfaceError) as error:
                    names = ", ".join(sorted(lease.server for lease in self._leases.copy()))
                    logger.warning("the leases of %s could not be renewed: %s", names, str(error).strip())
                    connections.close_all()
                    pause = self._soon()
        finally:
            connections.close_all()  # this thread's own

    def _waited(self, pause: float) -> bool:
        """False: there is nothing left to renew, and this thread ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._leases, pause)
            if not self._leases:
                self._thread = None
            return bool(self._leases)

    def _alive(self) -> list[Lease]:
        with self._changed:
            hanging = [lease for lease in self._leases if lease.hangs()]
            self._leases.difference_update(hanging)
            alive = list(self._leases)
        for lease in hanging:
            logger.error("whoever delivers to %s has been at one step for %g s", lease.server, LONGEST_STEP)
        return alive

    def _beat(self, leases: Collection[Lease]) -> bool:
        """Whether each was either renewed or seen to be lost; others are locked by somebody at this moment."""
        with transaction.atomic():
            rows = ServerState.objects.filter(pk__in=[lease.server for lease in leases])
            free = rows.select_for_update(skip_locked=True).values_list("name", "lease_holder", "lease_epoch")
            found = {name: (holder, epoch) for name, holder, epoch in free}
            ours = [lease for lease in leases if found.get(lease.server) == (lease.holder, lease.epoch)]
            ServerState.objects.filter(pk__in=[lease.server for lease in ours]).update(lease_until=Now() + duration())
        for lease in leases:
            if lease.server in found and lease not in ours:
                self._lost(lease)
        return all(lease.server in found for lease in leases)

    def _lost(self, lease: Lease) -> None:
        with self._changed:
            if lease not in self._leases:  # given back meanwhile
                return
            self._leases.discard(lease)
        lease.lost = True
        logger.warning("the lease of %s was taken over", lease.server)

    @staticmethod
    def _every() -> float:
        return duration().total_seconds() / BEATS

    @classmethod
    def _soon(cls) -> float:
        return min(1.0, cls._every())


_heart = Heart()


def take(server: str, known: ServerSpec | None = None) -> Lease | None:
    """The lease, when nobody holds it, its holder is dead or let it run out; None otherwise.

    ``known``: the server as it was a moment ago. Had it moved since, its new directory would turn the lease away.
    """
    holder = f"{myself()}/{secrets.token_hex(4)}"
    state, _ = ServerState.objects.get_or_create(pk=server)
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=Now())
    # Farther away than anybody ever sets it: the database's clock was put back.
    free |= Q(lease_until__gt=Now() + 2 * duration())
    if _is_abandoned(state.lease_holder):  # killed on this machine: no need to wait for its lease to run out
        free |= Q(lease_holder=state.lease_holder)
    epoch = max(state.lease_epoch, _seen_by_directory(known or servers.find(server))) + 1
    _held_here.add(holder)  # before it can be read: another thread must not take it for abandoned
    try:
        taken = ServerState.objects.filter(free, pk=server, lease_epoch=state.lease_epoch).update(
            lease_holder=holder, lease_until=Now() + duration(), lease_epoch=epoch
        )
    except BaseException:
        _held_here.discard(holder)
        raise
    if not taken:
        _held_here.discard(holder)
        return None
    last, since = _alone.get(server, (None, epoch))
    since = since if last == state.lease_epoch else epoch
    _alone[server] = (epoch, since)
    return Lease(server, holder, epoch, since)


def _seen_by_directory(spec: ServerSpec | None) -> int:
    return fence.recorded(spec.rule_dir) if spec is not None and spec.delivery == "directory" else 0


def _is_abandoned(holder: str) -> bool:
    identity = holder.rpartition("/")[0]
    if not identity:
        return False
    return holder not in _held_here if identity == myself() else is_gone(identity)


@contextmanager
def held(server: str, known: ServerSpec | None = None) -> Iterator[Lease | None]:
    """The lease for the time of a block; None when somebody else has it. ``known``: as for ``take``."""
    lease = take(server, known)
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()
