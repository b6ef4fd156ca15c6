"""Writing fields: no update is lost, however many hosts make them, and none makes an object. Pure flows.

What does not depend on what is stored is one gated write. For what does:

1. A change is applied to what is stored now, validated, and committed by one script that compares and writes
   (`commit.lua`), provided that what it was based on still stands.
2. Where it does not, the change is applied anew to what stands there then, after a random pause, for 5 seconds;
   then it is a `Conflict` and nothing is written. `_turns` says who is next.
3. Sums of plain numbers need none of that: one script adds and checks the bounds where the value lives
   (`increment.lua`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from . import _objects, _scripts
from ._flow import Argument, Ask, Command, Flow, NoScript, ask
from ._roundtrip import same
from ._schema import IDENTITY, StoredField
from ._space import Space
from ._turns import Patience, begin_turn, in_turn, pause
from .errors import AccessDenied, FieldUnset, NotFound, Unsupported

T = TypeVar("T")

# A SHA-1 in hex is 40 bytes: what is no longer is compared as it is.
_HASH_ABOVE = 40
# The first element of the scripts' replies.
ABSENT, DONE, REFUSED, NOT_FOR_A_SCRIPT, UNSET, TAKEN, WHOLE = range(7)

Raws = Mapping[str, bytes | None]


class Unread(NamedTuple):
    """Stands for bytes that have not been read yet."""


class Changed(NamedTuple):
    """A field as it was committed."""

    raw: bytes | None
    value: Any


def commit(space: Space, id: str, basis: Raws, raws: Raws, *, creating: bool = False) -> Flow[list[str]]:
    """Write fields, provided that those of `basis` still have these bytes. One round trip: a script.

    Returns:
        The fields that have changed, with nothing written; none where it was written.

    Raises:
        NotFound: there is no such object any more.
    """
    pairs = [part for name, raw in raws.items() if raw is not None for part in (name, raw)]
    [status, *changed] = yield from _scripts.commit(
        space.key(id), int(creating), len(basis), *expected(space, basis), *pairs
    )
    if status == NOT_FOR_A_SCRIPT:
        space.dialect.sha1hex = False
        return (yield from commit(space, id, basis, raws, creating=creating))
    if status == ABSENT:
        raise NotFound(model=space.schema.name, id=id)
    return [cast(bytes, name).decode() for name in changed]


def expected(space: Space, basis: Raws) -> Iterator[Argument]:
    """Yield each field and what its bytes must still be, as commit.lua reads it."""
    for name, raw in basis.items():
        yield name
        yield fingerprint(space, raw)


def fingerprint(space: Space, raw: bytes | None) -> bytes | str:
    """Return what a field must hold in as few bytes as tell it."""
    if raw is None:
        return ""
    if len(raw) <= _HASH_ABOVE or not space.dialect.sha1hex:
        return b"=" + raw
    return "#" + hashlib.sha1(raw, usedforsecurity=False).hexdigest()


# ---- fields, each judged for itself


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
    schema = space.schema
    if schema.cross_field:
        return write_whole(space, id, changes, creating=creating)
    if len(changes) == 1:  # the hot path: an attribute write
        [(name, value)] = changes.items()
        raws: Raws = {name: schema.encode(name, schema.check(name, value))}
    else:
        raws = schema.encode_all(schema.check_many(changes))
    pairs = [part for name, raw in raws.items() if raw is not None for part in (name, raw)]
    if creating or len(pairs) < 2 * len(raws):
        gone = [name for name, raw in raws.items() if raw is None]
        return _objects.guarded(space, id, _write_originals(space, id, gone, pairs, creating=creating))
    return _write_existing(space, id, pairs)


def _write_originals(
    space: Space, id: str, gone: Sequence[str], pairs: Sequence[Argument], *, creating: bool
) -> Flow[None]:
    """Write fields of the class form, whose objects come into being by assignment and keep None as an absent field."""
    for name in gone:
        yield from forget(space, id, name)
    if pairs and creating:
        yield from ask(Command(("HSET", space.key(id), *pairs)), label="write")
    elif pairs:
        yield from _write_existing(space, id, pairs)


def forget(space: Space, id: str, name: str) -> Flow[None]:
    """Delete a field, which is how the original library's fields hold None. One round trip: `HDEL`."""
    yield from ask(Command(("HDEL", space.key(id), name)), label="write")


def write_raw(space: Space, id: str, name: str, raw: bytes, *, creating: bool, native: bool) -> Flow[None]:
    """Write the bytes of one value that has been validated, as `write` does. One round trip.

    Args:
        native: begin with `HSETEX`.
    """
    if creating:
        return _objects.guarded(space, id, _write_originals(space, id, [], [name, raw], creating=True))
    return _write_existing(space, id, [name, raw], native=native)


def _write_existing(space: Space, id: str, pairs: Sequence[Argument], *, native: bool | None = None) -> Flow[None]:
    """Write fields of an object that is there."""
    if not pairs:
        return
    key = space.key(id)
    if native is None:
        native = space.dialect.hsetex
    if native:
        command = Command(("HSETEX", key, "FXX", "FIELDS", len(pairs) // 2, *pairs))
    else:
        command = Command(("EVALSHA", _scripts.write.sha, 1, key, *pairs))
    [reply] = yield Ask((command,), "write")
    if reply != 1:
        yield from _objects.guarded(space, id, _write_again(space, id, pairs, reply, native=native))


def _write_again(space: Space, id: str, pairs: Sequence[Argument], reply: Any, *, native: bool) -> Flow[None]:
    """Let the script decide where the first command has not: FXX asks for the fields, and one may be absent."""
    if native and isinstance(reply, (Unsupported, AccessDenied)):
        space.dialect.hsetex = False
    elif isinstance(reply, Exception) and not isinstance(reply, NoScript):
        raise reply
    elif not native and not isinstance(reply, Exception):
        raise _objects.absent(space, id)
    if not (yield from _scripts.write(space.key(id), *pairs)):
        raise _objects.absent(space, id)


# ---- several fields, judged together


def write_whole(space: Space, id: str, changes: Mapping[str, Any], *, creating: bool = False) -> Flow[None]:
    """Validate an object whole, with `changes` in it, and write what differs. Two round trips: a read and a script."""
    patience = Patience()
    flow = _write_whole(space, id, changes, patience, creating=creating)
    return _objects.guarded(space, id, in_turn(space, id, patience, flow))


def _write_whole(
    space: Space, id: str, changes: Mapping[str, Any], patience: Patience, *, creating: bool
) -> Flow[None]:
    yield from begin_turn(space, id, [*changes], patience)
    while True:
        stored = yield from load(space, id, creating=creating)
        raws = whole(space, id, stored, changes)
        changed = yield from commit(space, id, stored, differing(raws, stored), creating=creating)
        if not changed:
            return
        yield from pause(space, id, changed, patience)


def load(space: Space, id: str, *, creating: bool) -> Flow[Raws]:
    """Return the bytes of all of the model's fields, None where one is absent."""
    try:
        stored = yield from _objects.load(space, id)
    except NotFound:
        if not creating:
            raise
        stored = {}
    return {name: stored.get(name) for name in space.schema.fields}


def whole(space: Space, id: str, stored: Raws, changes: Mapping[str, Any]) -> Raws:
    """Return the bytes of the object that `changes` would make of what is stored, if the model admits it."""
    schema = space.schema
    values = {
        name: schema.decode(id, name, raw) for name, raw in stored.items() if raw is not None and name not in changes
    }
    if schema.identity:
        values[IDENTITY] = schema.identity_of(id)
    return schema.encode_all(schema.check_whole(values, changes))


def differing(raws: Raws, stored: Raws) -> Raws:
    """Return what is to be written: the bytes that are not stored already."""
    return {name: raw for name, raw in raws.items() if raw != stored.get(name)}


# ---- one field


def change(
    space: Space,
    id: str,
    name: str,
    step: Callable[[Any], Any],
    *,
    basis: bytes | Unread | None = Unread(),  # noqa: B008  # an immutable mark
    creating: bool = False,
) -> Flow[Changed]:
    """Replace a field's value by what `step` makes of it. Two round trips, or one where `basis` still stands.

    Args:
        step: is given a value of its own, which it may change and return; it is called again after each conflict.
        basis: the bytes that the field held when it was last read.

    Raises:
        Conflict: others kept changing it for 5 seconds; nothing was written.
    """
    patience = Patience()
    flow = _change(space, id, name, step, basis, patience, creating=creating)
    return _objects.guarded(space, id, in_turn(space, id, patience, flow))


def _change(
    space: Space,
    id: str,
    name: str,
    step: Callable[[Any], Any],
    basis: bytes | Unread | None,
    patience: Patience,
    *,
    creating: bool,
) -> Flow[Changed]:
    schema, known = space.schema, basis
    if (yield from begin_turn(space, id, [name], patience)):
        known = Unread()
    while True:
        stored = yield from _basis(space, id, name, known, creating)
        raw = stored[name]
        try:
            value = _changed(space, id, name, step, stored)
        except Exception:
            if known == raw and (yield from _basis(space, id, name, Unread(), creating)) != stored:
                known = Unread()  # it failed on what is not there any more
                continue
            raise
        raws = (
            whole(space, id, stored, {name: value})
            if schema.cross_field
            else {name: schema.encode(name, value, revalidated=True)}
        )
        if raws[name] is None and raw is not None:
            yield from forget(space, id, name)
            return Changed(None, None)
        changed = yield from commit(space, id, stored, differing(raws, stored), creating=creating)
        if not changed:
            # The rules of a cross-field model may have made something else of the value.
            committed = raws[name]
            crossed = schema.cross_field and committed is not None
            return Changed(committed, schema.decode(id, name, cast(bytes, committed)) if crossed else value)
        known = Unread()
        yield from pause(space, id, changed, patience)


def _basis(space: Space, id: str, name: str, known: bytes | Unread | None, creating: bool) -> Flow[Raws]:
    """Return the bytes that a change of one field is based on: of that field, or of all where they depend."""
    if not space.schema.cross_field:
        if isinstance(known, Unread):
            known = yield from _objects.fetch_raw(space, id, name, creating=creating)
        if known is not None or not space.schema.fields[name].default_reads_others:
            return {name: known}
    return (yield from load(space, id, creating=creating))


def _changed(space: Space, id: str, name: str, step: Callable[[Any], Any], stored: Raws) -> Any:
    schema, raw = space.schema, stored[name]
    if raw is not None:
        before = schema.decode(id, name, raw)
    elif schema.fields[name].default_reads_others:
        before = schema.decode_all(id, stored)[name]
    else:
        before = schema.default(id, name, {})
    return schema.check_changed(name, step(before))


def compare_and_set(space: Space, id: str, name: str, old: Any, new: Any) -> Flow[bool]:
    """Write a field, provided that it holds `old`; say whether. Two round trips: a read and a script.

    Raises:
        ValidationError: the model refuses `new`; nothing has been sent.
    """
    if not space.schema.cross_field:
        space.schema.check(name, new)
    return _compare_and_set(space, id, name, old, new)


class _Differs(Exception):
    """The field does not hold what it is compared with."""


def _compare_and_set(space: Space, id: str, name: str, old: Any, new: Any) -> Flow[bool]:
    def step(value: Any) -> Any:
        if not same(value, old):
            raise _Differs
        return new

    try:
        yield from change(space, id, name, step)
    except _Differs:
        return False
    return True


# ---- sums


def increment(space: Space, id: str, name: str, by: Any, *, creating: bool = False) -> Flow[Any]:
    """Add to a number and return the sum. One round trip: a script; one or two more where it cannot judge.

    Raises:
        ValidationError: a constraint refuses the sum; nothing changed.
        FieldUnset: there is neither a value nor a default.
    """
    field = space.schema.field(name)
    added = _summand(field, by)
    if space.schema.cross_field or not field.plain or added is None:
        return _increment_by_change(space, id, name, by, creating)
    return _objects.guarded(space, id, _increment(space, id, field, by, added, creating))


def _summand(field: StoredField, by: Any) -> str | None:
    """Return what to add as text, if a script can add it to this field."""
    kind = field.codec.summable
    if kind == "int" and isinstance(by, int):
        return str(int(by))
    return repr(float(by)) if kind == "float" and isinstance(by, (int, float)) else None


def _increment(space: Space, id: str, field: StoredField, by: Any, added: str, creating: bool) -> Flow[Any]:
    schema, name = space.schema, field.name
    default = b""
    if not field.info.is_required() and not field.default_reads_others:
        default = schema.encode(name, schema.default(id, name, {})) or b""
    bounds = [part for bound, value in field.codec.bounds.items() for part in (bound, value)]
    [status, *rest] = yield from _scripts.increment(
        space.key(id), name, str(field.codec.summable), added, default, int(creating), *bounds
    )
    if status == DONE:
        return schema.decode(id, name, rest[0])
    if status == ABSENT:
        raise _objects.absent(space, id)
    if status == UNSET and not field.default_reads_others:
        raise FieldUnset(model=schema.name, id=id, field=name)
    if status == REFUSED:
        schema.check(name, schema.decode(id, name, rest[0]) + by)
    return (yield from _increment_by_change(space, id, name, by, creating))


def _increment_by_change(space: Space, id: str, name: str, by: Any, creating: bool) -> Flow[Any]:
    changed = yield from change(space, id, name, lambda value: value + by, creating=creating)
    return changed.value
