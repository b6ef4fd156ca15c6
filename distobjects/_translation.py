"""What a client raises, in our own errors: the one table. By class names, so that it imports no client."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ._flow import CrossSlot, NoScript, WrongType
from ._retry import Lost
from .errors import (
    AccessDenied,
    DistObjectsError,
    OutOfMemory,
    ReadOnly,
    StoreBusy,
    StoreUnavailable,
    Unsupported,
)

# By class name, not by class: valkey-py has the same ones under another roof. The first that fits counts.
_BY_CLASS: Sequence[tuple[str, type[DistObjectsError]]] = (
    ("NoScriptError", NoScript),
    ("ClusterCrossSlotError", CrossSlot),
    ("AuthenticationError", AccessDenied),
    ("AuthorizationError", AccessDenied),
    ("NoPermissionError", AccessDenied),
    ("ReadOnlyError", ReadOnly),
    ("OutOfMemoryError", OutOfMemory),
    ("BusyLoadingError", StoreBusy),
    ("MaxConnectionsError", StoreBusy),
    ("ClusterDownError", StoreUnavailable),
    ("AskError", Unsupported),  # a MovedError is one too; older versions of redis-py have them in clusters only
    ("MasterDownError", StoreUnavailable),
)
# By how the server's message begins; redis-py knows no class for these.
_BY_MESSAGE: Sequence[tuple[str, type[DistObjectsError]]] = (
    ("WRONGTYPE", WrongType),
    ("NOSCRIPT", NoScript),
    ("CROSSSLOT", CrossSlot),  # older versions of redis-py, and valkey-py, have the class in clusters only
    ("BUSY ", StoreBusy),
    ("LOADING", StoreBusy),
    ("READONLY", ReadOnly),
    ("NOREPLICAS", ReadOnly),
    ("MISCONF", ReadOnly),
    ("OOM", OutOfMemory),
    ("command not allowed when used memory", OutOfMemory),
    ("NOAUTH", AccessDenied),
    ("WRONGPASS", AccessDenied),
    ("NOPERM", AccessDenied),
    ("ACL failure in script", AccessDenied),
    ("The user executing the script can't", AccessDenied),  # before Redis 7.2
    ("unknown command", Unsupported),
    ("ERR unknown command", Unsupported),
    ("MOVED ", Unsupported),
    ("ASK ", Unsupported),
    ("MASTERDOWN", StoreUnavailable),
    ("CLUSTERDOWN", StoreUnavailable),
    ("No connection available", StoreBusy),
    ("Too many connections", StoreBusy),
    ("max number of clients reached", StoreBusy),
)
_IN_SCRIPT = re.compile(r"^.*@user_script: ?\d+: -?")
_WAY_OUT: Mapping[type[DistObjectsError], str] = {
    AccessDenied: "check user, password and ACL rules; docs/atomic lists the commands that are needed",
    ReadOnly: "write to the primary, or mend its persistence or replicas",
    OutOfMemory: "raise maxmemory, set an eviction policy, or delete",
    StoreBusy: "try again, or allow more connections",
    Unsupported: "doctor shows what this server can do",
    StoreUnavailable: "is the server running? `python -m distobjects doctor URL` looks; connect() alone embeds one",
}


def names_of(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}


def _kind(error: BaseException) -> type[DistObjectsError] | None:
    """Return what an error of redis-py is among ours; None where the table does not know it."""
    names, message = names_of(error), str(error)
    for name, kind in _BY_CLASS:
        if name in names:
            return kind
    # Before Redis 7, the error of a command in a script comes inside of another: "... @user_script: 1: -READONLY ...".
    message = _IN_SCRIPT.sub("", message)
    return next((kind for start, kind in _BY_MESSAGE if message.startswith(start)), None)


def _made(kind: type[DistObjectsError], error: BaseException, where: str) -> DistObjectsError:
    way_out = _WAY_OUT.get(kind)
    if "AskError" in names_of(error) or str(error).startswith(("MOVED ", "ASK ")):
        way_out = (
            "this is one node of a cluster, and the key is on another: RedisBackend(redis.RedisCluster(...)) finds it"
        )
    made = kind(f"{where}: {str(error) or type(error).__name__}" + (f"; {way_out}" if way_out else ""))
    made.__cause__ = error
    return made


def reply_error(error: Exception, where: str) -> DistObjectsError | None:
    """Translate an error reply; None where it is none, because the connection itself failed."""
    if "ResponseError" not in names_of(error):
        return None
    return _made(_kind(error) or DistObjectsError, error, where)


def connection_error(error: Exception, where: str, *, sent: bool) -> Exception:
    """Translate a failure to connect, send or receive: `Lost` where another attempt may help."""
    kind = _kind(error)
    if kind in (AccessDenied, StoreBusy):
        return _made(kind, error, where)
    made = _made(StoreUnavailable, error, where)
    lost = Lost(made, sent=sent, slow="TimeoutError" in names_of(error))
    lost.__cause__ = error
    return lost


def failure(error: Exception, where: str) -> Exception:
    """Translate whatever went wrong, where nothing is going to be tried again."""
    translated = reply_error(error, where) or connection_error(error, where, sent=True)
    return translated.error if isinstance(translated, Lost) else translated


class Translated:
    """A block in which a client's failures become ours, where nothing is going to be tried again."""

    def __init__(self, failures: tuple[type[Exception], ...], where: str) -> None:
        self._failures = failures
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, self._failures):
            raise failure(error, self._where) from error


def never_left(error: Exception) -> bool:
    """Say whether a client that connects by itself failed before it sent anything."""
    return str(error).startswith("Error") and "connecting to" in str(error)


def lock_error(error: Exception, where: str) -> None:
    """Return None where a lock is not held any more; raise what else went wrong."""
    if "LockError" in names_of(error):
        return
    raise failure(error, where)
