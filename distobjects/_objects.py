"""One object: create, read, write, replace, delete. Pure flows; the docstrings count their round trips."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from . import _scripts
from ._flow import Argument, Command, Flow, Pause, WrongType, ask, reading
from ._schema import IDENTITY
from ._space import Space
from .errors import AccessDenied, AlreadyExists, Conflict, CorruptData, NotFound, Unsupported

T = TypeVar("T")

# HMGET looks every field up by walking a small hash; beyond ten fields one HGETALL is cheaper.
_HMGET_MOST = 10
# A cross-field write that finds its object changed is validated anew, for this long; then it is a Conflict.
_CONFLICT_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 0.01


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


def read(space: Space, id: str, name: str, *, lenient: bool = False) -> Flow[Any]:
    """Read one field. One round trip: `HGET`; one more where the reply is nil, to tell why.

    Args:
        lenient: an absent object reads as its defaults (the class form), which costs no second trip.
    """
    return guarded(space, id, _read(space, id, name, lenient=lenient))


def _read(space: Space, id: str, name: str, *, lenient: bool) -> Flow[Any]:
    key = space.key(id)
    [raw] = yield from ask(reading("HGET", key, name), label="read")
    if raw is not None:
        return space.schema.decode(id, name, raw)
    field = space.schema.fields[name]
    if field.default_reads_others:
        return (yield from _snapshot_values(space, id))[name]
    if not lenient:
        [there] = yield from ask(reading("EXISTS", key), label="read")
        if not there:
            raise absent(space, id)
    return space.schema.default(id, name, {})


def read_many(space: Space, id: str, names: Sequence[str]) -> Flow[list[Any]]:
    """Read several fields at once. One round trip: `HMGET`; one more where all are nil."""
    return guarded(space, id, _read_many(space, id, names))


def _read_many(space: Space, id: str, names: Sequence[str]) -> Flow[list[Any]]:
    key = space.key(id)
    [raws] = yield from ask(reading("HMGET", key, *names), label="read")
    if all(raw is None for raw in raws):
        [there] = yield from ask(reading("EXISTS", key), label="read")
        if not there:
            raise absent(space, id)
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
        NotFound: there is no such object; for a small model it takes one more trip, `EXISTS`, to tell.
    """
    return guarded(space, id, _load(space, id))


def _load(space: Space, id: str) -> Flow[dict[str, bytes]]:
    key, names = space.key(id), list(space.schema.fields)
    if len(names) > _HMGET_MOST:
        [reply] = yield from ask(reading("HGETALL", key), label="load")
        stored = _pairs(reply)
        if not stored:
            raise absent(space, id)
        return {name: stored[raw] for name in names if (raw := name.encode()) in stored}
    [raws] = yield from ask(reading("HMGET", key, *names), label="load")
    found = {name: raw for name, raw in zip(names, raws, strict=True) if raw is not None}
    if not found:
        [there] = yield from ask(reading("EXISTS", key), label="load")
        if not there:
            raise absent(space, id)
    return found


def _pairs(reply: Any) -> dict[bytes, bytes]:
    """Return a reply of HGETALL as a dict: RESP2 sends a flat list."""
    return (
        cast(dict[bytes, bytes], reply) if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    )


def _snapshot_values(space: Space, id: str) -> Flow[dict[str, Any]]:
    stored = yield from load(space, id)
    return space.schema.decode_all(id, stored)


def get(space: Space, id: str) -> Flow[BaseModel]:
    """Return a snapshot of the object, a plain instance of the model. One round trip, as `load`."""
    values = yield from _snapshot_values(space, id)
    return space.schema.snapshot(values)


def get_or(space: Space, id: str, default: T) -> Flow[BaseModel | T]:
    """Return a snapshot of the object, or `default` where there is none."""
    try:
        return (yield from get(space, id))
    except NotFound:
        return default


def exists(space: Space, id: str) -> Flow[bool]:
    """Say whether the object is there. One round trip: `EXISTS`."""
    [there] = yield from ask(reading("EXISTS", space.key(id)), label="exists")
    return bool(there)


# ---- writing whole objects


def encoded(space: Space, value: BaseModel) -> list[Argument]:
    """Return the fields and bytes of a whole value, checked anew: an instance may have been changed since."""
    raws = space.schema.encode_all(space.schema.check_instance(value))
    return [part for name, raw in raws.items() if raw is not None for part in (name, raw)]


def create(space: Space, id: str, value: BaseModel) -> Flow[None]:
    """Store a new object with all its fields. One round trip: a script (`EXISTS`, `HSET`).

    Raises:
        AlreadyExists: something is stored under this id; it is left as it is.
    """
    pairs = encoded(space, value)
    stored = yield from _scripts.insert(space.key(id), *pairs)
    if not stored:
        raise AlreadyExists(model=space.schema.name, ids=[id])


def put(space: Space, id: str, value: BaseModel) -> Flow[None]:
    """Create the object or replace it whole; its TTL goes. One round trip: a script (`DEL`, `HSET`)."""
    pairs = encoded(space, value)
    yield from _scripts.replace(space.key(id), *pairs)


def get_or_create(space: Space, id: str, value: BaseModel) -> Flow[bool]:
    """Store a new object unless there is one; say whether it was stored. One round trip."""
    pairs = encoded(space, value)
    return bool((yield from _scripts.insert(space.key(id), *pairs)))


def delete(space: Space, id: str) -> Flow[bool]:
    """Delete the object; say whether it was there. One round trip: `DEL`."""
    [deleted] = yield from ask(Command(("DEL", space.key(id))), label="delete")
    return bool(deleted)


# ---- writing fields


def write(space: Space, id: str, changes: Mapping[str, Any], *, creating: bool = False) -> Flow[None]:
    """Validate and write fields of one object, all of them or none.

    One round trip: `HSETEX ... FXX` where the server has it, else a script (`EXISTS`, `HSET`); two for a
    cross-field model, which is read, validated whole and committed by a script.

    Args:
        creating: an absent object comes into being (the class form, where every field has a default).

    Raises:
        ValidationError: the model refuses a value; nothing has been sent.
        NotFound: there is no such object; nothing was written.
        Conflict: others kept changing a cross-field object for 5 seconds; nothing was written.
    """
    if space.schema.cross_field:
        return guarded(space, id, _write_whole(space, id, changes))
    raws = space.schema.encode_all(space.schema.check_many(changes))
    return guarded(space, id, _write(space, id, raws, creating=creating))


def _write(space: Space, id: str, raws: Mapping[str, bytes | None], *, creating: bool) -> Flow[None]:
    key = space.key(id)
    gone = [name for name, raw in raws.items() if raw is None]
    pairs = [part for name, raw in raws.items() if raw is not None for part in (name, raw)]
    if gone:
        yield from ask(Command(("HDEL", key, *gone)), label="write")
    if pairs and creating:
        yield from ask(Command(("HSET", key, *pairs)), label="write")
    elif pairs and not (yield from _write_existing(space, key, pairs)):
        raise absent(space, id)


def _write_existing(space: Space, key: str, pairs: Sequence[Argument]) -> Flow[bool]:
    """Write fields of a hash that exists; say whether it does."""
    if space.dialect.hsetex:
        try:
            [written] = yield from ask(
                Command(("HSETEX", key, "FXX", "FIELDS", len(pairs) // 2, *pairs)), label="write"
            )
            if written:
                return True
        except (Unsupported, AccessDenied):
            space.dialect.hsetex = False
    # FXX asks for the fields, and one of them may be absent: the script asks for the object.
    return bool((yield from _scripts.write(key, *pairs)))


def _write_whole(space: Space, id: str, changes: Mapping[str, Any]) -> Flow[None]:
    while True:
        stored = yield from load(space, id)
        raws = _validated_whole(space, id, stored, changes)
        basis = {name: stored.get(name) for name in space.schema.fields}
        changed = yield from commit(space, id, basis, {n: raw for n, raw in raws.items() if raw != stored.get(n)})
        if not changed:
            return
        # Jitter keeps writers that met once from meeting again and again.
        [elapsed] = yield Pause(random.uniform(0, _LONGEST_PAUSE_SECONDS))
        if elapsed > _CONFLICT_SECONDS:
            raise Conflict(model=space.schema.name, id=id, fields=changed)


def _validated_whole(
    space: Space, id: str, stored: Mapping[str, bytes], changes: Mapping[str, Any]
) -> dict[str, bytes | None]:
    """Return the bytes of the object that `changes` would make of what is stored, if the model admits it."""
    schema = space.schema
    values = {name: schema.decode(id, name, raw) for name, raw in stored.items() if name not in changes}
    if schema.identity:
        values[IDENTITY] = schema.identity_of(id)
    return schema.encode_all(schema.check_whole(values, changes))


def commit(
    space: Space, id: str, basis: Mapping[str, bytes | None], raws: Mapping[str, bytes | None]
) -> Flow[list[str]]:
    """Write fields, provided that those of `basis` still have these bytes. One round trip: a script.

    Returns:
        The fields that have changed, with nothing written; none where it was written.

    Raises:
        NotFound: there is no such object any more.
    """
    pairs = [part for name, raw in raws.items() if raw is not None for part in (name, raw)]
    [status, *changed] = yield from _scripts.commit(space.key(id), len(basis), *_expected(space, basis), *pairs)
    if status == _NO_SHA1:
        space.dialect.sha1hex = False
        return (yield from commit(space, id, basis, raws))
    if status == _ABSENT:
        raise absent(space, id)
    return [cast(bytes, name).decode() for name in changed]


# The first element of commit.lua's reply.
_ABSENT, _NO_SHA1 = 0, 3
# A SHA-1 in hex is 40 bytes: what is no longer is compared as it is.
_HASH_ABOVE = 40


def _expected(space: Space, basis: Mapping[str, bytes | None]) -> Iterator[Argument]:
    """Yield each field and what its bytes must still be, as commit.lua reads it."""
    for name, raw in basis.items():
        yield name
        if raw is None:
            yield ""
        elif len(raw) <= _HASH_ABOVE or not space.dialect.sha1hex:
            yield b"=" + raw
        else:
            yield "#" + hashlib.sha1(raw, usedforsecurity=False).hexdigest()


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
