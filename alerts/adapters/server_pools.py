"""The connections to one server: nothing is followed, proxied or taken from the environment, certificates are verified,
and no name leads to a link-local or metadata address (see ``allowed_urls``)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from alerts.adapters.allowed_urls import may_connect

# Compressing costs both sides more than a short way does.
HEADERS = {"User-Agent": "config-server", "Accept": "*/*", "Accept-Encoding": "identity"}


def server_pools(allowed: Collection[str] | None = None) -> urllib3.PoolManager:
    """``allowed`` None: it may be anywhere. Nothing is tried again by itself."""
    pools = urllib3.PoolManager(headers=HEADERS, retries=False)
    if allowed is not None:
        pools.pool_classes_by_scheme = _guarded(allowed)
    return pools


def _guarded(allowed: Collection[str]) -> dict[str, type[HTTPConnectionPool]]:
    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), allowed)

    class SecureConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), allowed)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}


def _checked(connection: socket.socket, allowed: Collection[str]) -> socket.socket:
    """The address that was really reached, before a byte is sent to it."""
    peer = connection.getpeername()[0]
    if not may_connect(peer, allowed):
        connection.close()
        raise OSError(
            errno.EACCES, f"its name leads to {peer}, a link-local or metadata address that is not listed as allowed"
        )
    return connection
