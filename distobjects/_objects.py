"""One object: create, read, write, replace, delete. Pure flows; the docstrings count their round trips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from . import _scripts
from ._flow import Ask, Command, Flow, Series, WrongType, ask, reading
from ._rows import Row
from ._scripts import Script
from ._space import Space
from .errors import AlreadyExists, CorruptData, NotFound

T = TypeVar("T")

# Of HGETALL, hiredis makes a dict, which takes longer than all else; of HMGET, a list. But HMGET walks a small hash
# once for each field: there and back, it is faster up to 60 fields, and for the server alone up to 10.
_HMGET_MOST = 30


def guarded(space: Space, id: str, flow: Flow[T]) -> Flow[T]:
    """Run `flow`; tell a key that holds no hash by the object's name."""
    try:
        return (yield from flow)
    except WrongType as error:
        kind = "the key holds no hash"
        raise CorruptData(model=space.schema.name, id=id, field=None, length=None, kind=kind) from error


def absent(space: Space, id: str) -> NotFound:
    return NotFound(model=space.schema.name, id=id)


# ---- reading


def read(space: Space, id: str, name: str, *, creating: bool = False) -> Flow[Any]:
    """Read one field. One round trip: `HGET`; one more where the reply is nil, to tell why.

    Args:
        creating: an absent object reads as its defaults (the class form), which costs no second trip.
    """
    _, value = yield from fetch(space, id, name, creating=creating)
    return value


def fetch(space: Space, id: str, name: str, *, creating: bool = False) -> Flow[tuple[bytes | None, Any]]:
    """Read one field as `read` does; return its bytes, None where it is absent, and its value."""
    key = space.key(id)
    [raw] = yield Ask((Command(("HGET", key, name), repeatable=True),), "read")
    if type(raw) is bytes:  # the hot path, without the generators of the others
        return raw, space.schema.decode(id, name, raw)
    return (yield from guarded(space, id, fetch_absent(space, id, name, raw, creating=creating)))


def fetch_absent(space: Space, id: str, name: str, reply: Any, *, creating: bool) -> Flow[tuple[bytes | None, Any]]:
    """Return what a field reads as that no bytes came for: the reply was nil, or is an error."""
    if reply is not None:
        raise reply
    if space.schema.fields[name].default_reads_others:
        values = yield from _snapshot_values(space, id)
        return None, values[name]
    if not creating and not (yield from lacks(space, id, [name])):
        return (yield from fetch(space, id, name))
    return None, space.schema.default(id, name, {})


def fetch_raw(space: Space, id: str, name: str, *, creating: bool) -> Flow[bytes | None]:
    """Read one field as `fetch` does; return its bytes alone, for who is going to decode them anyway."""
    [raw] = yield from ask(reading("HGET", space.key(id), name), label="read")
    if raw is None:
        raw, _ = yield from fetch_absent(space, id, name, raw, creating=creating)
    return cast(bytes | None, raw)


def lacks(space: Space, id: str, names: Iterable[str]) -> Flow[bool]:
    """Say whether an object is there without these fields, none of which was found. One round trip: `HKEYS`.

    `EXISTS` would not tell: the object may have come since, and with other values than the defaults.

    Returns:
        False where one of them has come meanwhile, and they are to be read again.

    Raises:
        NotFound: there is no such object.
    """
    [stored] = yield from ask(reading("HKEYS", space.key(id)), label="read")
    if not stored:
        raise absent(space, id)
    return {*stored}.isdisjoint(name.encode() for name in names)


def read_many(space: Space, id: str, names: Sequence[str]) -> Flow[list[Any]]:
    """Read several fields at once. One round trip: `HMGET`; one more where all are nil."""
    return guarded(space, id, _read_many(space, id, names))


def _read_many(space: Space, id: str, names: Sequence[str]) -> Flow[list[Any]]:
    [raws] = yield from ask(reading("HMGET", space.key(id), *names), label="read")
    return (yield from values_of(space, id, names, raws))


def values_of(space: Space, id: str, names: Sequence[str], raws: Sequence[bytes | None]) -> Flow[list[Any]]:
    """Return the values of fields whose bytes have been read. One round trip where all are nil, to tell why."""
    if all(raw is None for raw in raws) and not (yield from lacks(space, id, names)):
        return (yield from _read_many(space, id, names))
    if any(
        raw is None and space.schema.fields[name].default_reads_others for raw, name in zip(raws, names, strict=True)
    ):
        values = yield from _snapshot_values(space, id)
        return [values[name] for name in names]
    return [
        space.schema.default(id, name, {}) if raw is None else space.schema.decode(id, name, raw)
        for name, raw in zip(names, raws, strict=True)
    ]


def load(space: Space, id: str) -> Flow[dict[str, bytes]]:
    """Return the bytes of the model's fields that are there. One round trip: `HMGET` or `HGETALL`.

    Raises:
        NotFound: there is no such object; for a small model it takes one more trip, `HKEYS`, to tell.
    """
    return guarded(space, id, _load(space, id))


def _load(space: Space, id: str) -> Flow[dict[str, bytes]]:
    key, names = space.key(id), list(space.schema.fields)
    if is_wide(space):
        [reply] = yield from ask(reading("HGETALL", key), label="load")
        stored = pairs(reply)
        if not stored:
            raise absent(space, id)
        return {name: stored[raw] for name in names if (raw := name.encode()) in stored}
    [reply] = yield Ask((reading("HMGET", key, *names),), "load")
    return (yield from _found(space, id, reply))


def _found(space: Space, id: str, reply: Any) -> Flow[dict[str, bytes]]:
    """Return what a reply of HMGET has found; ask whether the object is there at all where that is nothing."""
    if isinstance(reply, Exception):
        raise reply
    found = {name: raw for name, raw in zip(space.schema.fields, reply, strict=True) if raw is not None}
    if not found and not (yield from lacks(space, id, space.schema.fields)):
        return (yield from _load(space, id))
    return found


def is_wide(space: Space) -> bool:
    """Say whether a whole object is read by HGETALL."""
    return len(space.schema.fields) > _HMGET_MOST


def pairs(reply: Any) -> dict[bytes, bytes]:
    """Return a reply of HGETALL as a dict: RESP2 sends a flat list."""
    return (
        cast(dict[bytes, bytes], reply) if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    )


def _snapshot_values(space: Space, id: str) -> Flow[dict[str, Any]]:
    stored = yield from load(space, id)
    values = space.schema.load(id, [*map(stored.get, space.schema.fields)])
    return space.schema.decode_all(id, stored) if values is None else values


def get(space: Space, id: str) -> Flow[BaseModel]:
    """Return a snapshot of the object, a plain instance of the model. One round trip, as `load`."""
    if is_wide(space):
        return space.schema.snapshot((yield from _snapshot_values(space, id)))
    command = Series(("HMGET",), (space.key(id),), tuple(space.schema.fields), repeatable=True)
    [reply] = yield Ask(command, "load")
    # The hot path, without the generators of the others.
    values = None if isinstance(reply, Exception) else space.schema.load(id, reply)
    if values is None:
        values = yield from guarded(space, id, _decode_found(space, id, reply))
    return space.schema.snapshot(values)


def _decode_found(space: Space, id: str, reply: Any) -> Flow[dict[str, Any]]:
    return space.schema.decode_all(id, (yield from _found(space, id, reply)))


def exists(space: Space, id: str) -> Flow[bool]:
    """Say whether the object is there. One round trip: `EXISTS`."""
    [there] = yield from ask(reading("EXISTS", space.key(id)), label="exists")
    return bool(there)


# ---- writing whole objects


def store(space: Space, id: str, row: Row, script: Script) -> Flow[Any]:
    """Run a script on a whole object's bytes."""
    names = tuple(space.schema.fields)
    if not space.schema.rows.may_lack:
        return script.fill(space.key(id), names, cast(Sequence[bytes], row))
    there = [(name, raw) for name, raw in zip(names, row, strict=True) if raw is not None]
    return script(space.key(id), *(part for pair in there for part in pair))


def create(space: Space, id: str, value: BaseModel, row: Row | None = None) -> Flow[None]:
    """Store a new object with all its fields. One round trip: a script (`EXISTS`, `HSET`).

    The value is checked anew, here and below: an instance may have been changed since it was made.

    Args:
        row: its bytes, where they have been sent already: the instance may have been changed since, too.

    Raises:
        AlreadyExists: something is stored under this id; it is left as it is.
    """
    if not (yield from store(space, id, row or space.schema.encode_instance(value), _scripts.insert)):
        raise AlreadyExists(model=space.schema.name, ids=[id])


def put(space: Space, id: str, value: BaseModel, row: Row | None = None) -> Flow[None]:
    """Create the object or replace it whole; its TTL goes. One round trip: a script (`DEL`, `HSET`)."""
    yield from store(space, id, row or space.schema.encode_instance(value), _scripts.replace)


def get_or_create(space: Space, id: str, value: BaseModel, row: Row | None = None) -> Flow[bool]:
    """Store a new object unless there is one; say whether it was stored. One round trip."""
    return bool((yield from store(space, id, row or space.schema.encode_instance(value), _scripts.insert)))


def delete(space: Space, id: str) -> Flow[bool]:
    """Delete the object; say whether it was there. One round trip: `DEL`."""
    [deleted] = yield from ask(Command(("DEL", space.key(id))), label="delete")
    return bool(deleted)


# ---- time to live


def expire(space: Space, id: str, *, seconds: float) -> Flow[bool]:
    """Delete the object after `seconds`; say whether it is there. One round trip: `PEXPIRE`."""
    milliseconds = int(seconds * 1000)
    if milliseconds <= 0:
        raise ValueError(f"seconds must be at least 0.001, not {seconds!r}; delete() deletes at once")
    [there] = yield from ask(Command(("PEXPIRE", space.key(id), milliseconds)), label="expire")
    return bool(there)


def ttl(space: Space, id: str) -> Flow[float | None]:
    """Return how many seconds the object has left; None where it stays. One round trip: `PTTL`.

    Raises:
        NotFound: there is no such object.
    """
    [milliseconds] = yield from ask(reading("PTTL", space.key(id)), label="ttl")
    if milliseconds == -2:
        raise absent(space, id)
    return None if milliseconds == -1 else milliseconds / 1000


def persist(space: Space, id: str) -> Flow[bool]:
    """Keep the object for good; say whether it had a time to live. One round trip: `PERSIST`."""
    [had] = yield from ask(Command(("PERSIST", space.key(id))), label="persist")
    return bool(had)
