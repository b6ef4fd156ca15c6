"""Every error that distobjects raises of its own.

    DistObjectsError
    ├── NotFound (LookupError)              no object is stored under this id
    ├── FieldUnset (LookupError)            the object has no value for a field without a default
    ├── AlreadyExists                       `create` found an object under this id
    ├── Conflict                            somebody else changed what this write was based on
    ├── UnknownField (AttributeError)       the model has no field of this name
    ├── CorruptData (ValueError)            what is stored cannot be read as the model
    ├── InvalidModel (TypeError)            the model cannot be stored; said when it is bound
    ├── OutcomeUnknown (TimeoutError)       a write left, its reply never came
    ├── StoreUnavailable (ConnectionError)  the server cannot be reached, or does not answer in time
    │   ├── StoreBusy                       it is loading, runs a long script, or has no free connection
    │   ├── ReadOnly                        it is a replica, or refuses writes
    │   └── OutOfMemory                     it has reached maxmemory
    ├── AccessDenied (PermissionError)      wrong password, or the user may not run the command
    └── Unsupported                         the server, its version or the platform cannot do this

A value that the model refuses is pydantic's own `ValidationError`. No error of redis-py leaks: it is the
`__cause__`. Facts are attributes as well as words, every error pickles, and none carries a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class DistObjectsError(Exception):
    """The root: catch this to catch everything that distobjects raises of its own.

    Attributes:
        ids: where an operation on many objects failed, those that it did not do, or perhaps not.
    """

    __module__ = "distobjects"

    ids: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[DistObjectsError], args: tuple[Any, ...], facts: dict[str, Any]) -> DistObjectsError:
    """Build an error without its constructor, whose keywords `args` does not hold."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class NotFound(DistObjectsError, LookupError):
    """No object is stored under this id."""

    __module__ = "distobjects"

    def __init__(self, *, model: str, id: str) -> None:
        super().__init__(f"no {model} {id!r} is stored; create it, or test with exists({id!r})")
        self.model = model
        self.id = id


class FieldUnset(DistObjectsError, LookupError):
    """The object exists, but holds no value for a field that has no default.

    A `LookupError` and no `AttributeError`: Python would mask the latter when one of the model's own
    properties reads the field.
    """

    __module__ = "distobjects"

    def __init__(self, *, model: str, id: str, field: str) -> None:
        super().__init__(f"{model} {id!r} has no value for {field!r}, which has no default; assign one")
        self.model = model
        self.id = id
        self.field = field


class AlreadyExists(DistObjectsError):
    """`create` found objects under these ids and left them as they are."""

    __module__ = "distobjects"

    def __init__(self, *, model: str, ids: Sequence[str]) -> None:
        shown = ", ".join(repr(id) for id in ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
        super().__init__(f"{model} {shown} already exists; put() replaces, update() changes single fields")
        self.model = model
        self.ids = tuple(ids)


class Conflict(DistObjectsError):
    """Somebody else changed what this write was based on, and nothing was written; or holds the lock."""

    __module__ = "distobjects"

    def __init__(self, *, model: str, id: str, fields: Sequence[str] = (), reason: str | None = None) -> None:
        shown = ", ".join(repr(field) for field in fields)
        told = reason or f"{shown} changed meanwhile and nothing was written; read again and retry"
        super().__init__(f"{model} {id!r}: {told}")
        self.model = model
        self.id = id
        self.fields = tuple(fields)


class UnknownField(DistObjectsError, AttributeError):
    """The model has no field of this name."""

    __module__ = "distobjects"

    def __init__(self, *, model: str, field: str, hint: str | None = None) -> None:
        super().__init__(f"{model} has no field {field!r}" + (f"; did you mean {hint!r}?" if hint else ""))
        self.model = model
        self.field = field
        self.hint = hint


class CorruptData(DistObjectsError, ValueError):
    """What is stored cannot be read as the model says; `field` is None where the whole key is wrong."""

    __module__ = "distobjects"

    def __init__(self, *, model: str, id: str, field: str | None, length: int | None, kind: str) -> None:
        where = f"{model} {id!r}" + (f", field {field!r}" if field else "")
        size = "" if length is None else f" ({length} bytes)"
        super().__init__(f"{where}: what is stored{size} is not valid: {kind}; audit() lists all such objects")
        self.model = model
        self.id = id
        self.field = field
        self.length = length
        self.kind = kind


class InvalidModel(DistObjectsError, TypeError):
    """The model cannot be stored so that it comes back the same; said when it is bound."""

    __module__ = "distobjects"

    def __init__(self, *, model: str, reason: str, field: str | None = None) -> None:
        super().__init__(f"{model}{'.' + field if field else ''} cannot be stored: {reason}")
        self.model = model
        self.field = field
        self.reason = reason


class OutcomeUnknown(DistObjectsError, TimeoutError):
    """A write left, but its reply was lost: it may have happened, once, or not at all. Nothing repeats it."""

    __module__ = "distobjects"


class StoreUnavailable(DistObjectsError, ConnectionError):
    """The server cannot be reached, or does not answer in time."""

    __module__ = "distobjects"


class StoreBusy(StoreUnavailable):
    """The server is loading its data, runs a long script, or has no connection left for us."""

    __module__ = "distobjects"


class ReadOnly(StoreUnavailable):
    """The server refuses writes: it is a replica, or its persistence or replication is not in order."""

    __module__ = "distobjects"


class OutOfMemory(StoreUnavailable):
    """The server has reached its `maxmemory` and its policy evicts nothing."""

    __module__ = "distobjects"


class AccessDenied(DistObjectsError, PermissionError):
    """The password is wrong, or this user may not run the command or touch the key."""

    __module__ = "distobjects"


class Unsupported(DistObjectsError):
    """The server, its version or the platform cannot do this; the message names what is needed."""

    __module__ = "distobjects"
