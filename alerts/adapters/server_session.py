"""The connections to one server: nothing is followed, proxied or taken from the environment, certificates are verified,
and no name leads to a link-local address (see ``allowed_urls``)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from alerts.adapters.allowed_urls import may_connect


def server_session(*, server_name: str | None = None, allowed: Collection[str] | None = None) -> requests.Session:
    """``server_name``: what its certificate says, if not the URL's host; ``allowed`` None: it may be anywhere."""
    session = requests.Session()
    session.trust_env = False
    # Compressing costs both sides more than a short way does.
    session.headers.update({"User-Agent": "config-server", "Accept-Encoding": "identity"})
    session.mount("http://", _Adapter(allowed))
    session.mount("https://", _Adapter(allowed, server_name))
    return session


class _Adapter(HTTPAdapter):
    def __init__(self, allowed: Collection[str] | None, server_name: str | None = None) -> None:
        self._pool_classes = _guarded_pools(allowed) if allowed is not None else None
        self._names = {"server_hostname": server_name, "assert_hostname": server_name} if server_name else {}
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **named: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **named, **self._names)
        if self._pool_classes is not None:
            self.poolmanager.pool_classes_by_scheme = self._pool_classes


def _guarded_pools(allowed: Collection[str]) -> dict[str, type[HTTPConnectionPool]]:
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
        raise OSError(errno.EACCES, f"its name leads to {peer}, a link-local address that is not listed as allowed")
    return connection
