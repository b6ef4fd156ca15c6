"""Typed objects that live in Redis: an attribute read is one HGET, an attribute write is validated and one HSET."""

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
from ._reference import F
from ._transaction import Transaction
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
]
