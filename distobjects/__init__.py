"""Typed objects that live in Redis: an attribute read is one HGET, an attribute write is validated and one HSET."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import (
    AccessDenied,
    AlreadyExists,
    Conflict,
    CorruptData,
    DistObjectsError,
    FieldUnset,
    InvalidModel,
    NotFound,
    OutcomeUnknown,
    OutOfMemory,
    ReadOnly,
    StoreBusy,
    StoreUnavailable,
    UnknownField,
    Unsupported,
)

if TYPE_CHECKING:
    from ._async_backend import AsyncRedisBackend, connect_async
    from ._async_collection import AsyncObjects
    from ._async_handles import AsyncFieldHandle
    from ._async_live import AsyncDObject
    from ._async_transaction import AsyncTransaction
    from ._backend import RedisBackend, connect
    from ._bulk import Fault
    from ._changes import Change
    from ._collection import Objects
    from ._handles import FieldHandle
    from ._live import DObject
    from ._near import Near
    from ._progress import progress
    from ._reference import F
    from ._transaction import Transaction

__all__ = [
    "AccessDenied",
    "AlreadyExists",
    "AsyncDObject",
    "AsyncFieldHandle",
    "AsyncObjects",
    "AsyncRedisBackend",
    "AsyncTransaction",
    "Change",
    "Conflict",
    "CorruptData",
    "DObject",
    "DistObjectsError",
    "F",
    "Fault",
    "FieldHandle",
    "FieldUnset",
    "InvalidModel",
    "Near",
    "NotFound",
    "Objects",
    "OutOfMemory",
    "OutcomeUnknown",
    "ReadOnly",
    "RedisBackend",
    "StoreBusy",
    "StoreUnavailable",
    "Transaction",
    "UnknownField",
    "Unsupported",
    "connect",
    "connect_async",
    "progress",
]

# Loaded at their first use, as pydantic loads its own: who imports this package may need it later, or one colour of it.
_HOMES = {
    "AsyncDObject": "_async_live",
    "AsyncFieldHandle": "_async_handles",
    "AsyncObjects": "_async_collection",
    "AsyncRedisBackend": "_async_backend",
    "AsyncTransaction": "_async_transaction",
    "Change": "_changes",
    "DObject": "_live",
    "F": "_reference",
    "Fault": "_bulk",
    "FieldHandle": "_handles",
    "Near": "_near",
    "Objects": "_collection",
    "RedisBackend": "_backend",
    "Transaction": "_transaction",
    "connect": "_backend",
    "connect_async": "_async_backend",
    "progress": "_progress",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
