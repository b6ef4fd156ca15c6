"""Many objects: in chunks, each of them a flow of its own, so that one is on its way while another is worked on. Pure.

1. Objects are taken in order, and no more of them are held than two chunks.
2. Each object is read or written whole, in one step; a chunk is not. What one call of a script stores shares its error.
3. A chunk of writes has ended before the next one leaves: where one fails, nothing after it has been sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar, cast

from pydantic import BaseModel, ValidationError

from . import _objects, _scripts
from ._flow import Ask, Command, CrossSlot, Flow, NoScript, Series, ask, reading, settled
from ._rows import Row
from ._scripts import Script
from ._space import Space
from ._tally import Tally
from .errors import AlreadyExists, CorruptData, DistObjectsError, FieldUnset, NotFound

T = TypeVar("T")
X = TypeVar("X")

# Objects in one round trip: enough to make the trip cheap, few enough to keep the server's other clients waiting
# little.
CHUNK = 1000

# Values in one call of a script that stores several objects: 50 of ten fields keep the server for a third of a
# millisecond. Twice as many are no faster.
_VALUES = 500


class Fault(NamedTuple):
    """An object that `audit` found wanting: its id, and why its model refuses what is stored."""

    id: str
    error: Exception


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Cut any iterable into lists of `CHUNK`, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def flows(make: Callable[[list[X]], Flow[T]], chunked: Iterable[list[X]], tally: Tally) -> Iterator[Flow[T]]:
    """Make a flow of each chunk; a page of SCAN may be empty."""
    for chunk in chunked:
        if chunk:
            yield tally.flow(make(chunk), len(chunk))
    tally.end()


# ---- reading


def get_many(space: Space, ids: Sequence[str]) -> Flow[list[BaseModel | None]]:
    """Return snapshots in order, None for what is absent. One round trip: `HMGET` or `HGETALL`."""
    names, wide = tuple(space.schema.fields), _objects.is_wide(space)
    before, after = ("HGETALL", ()) if wide else ("HMGET", names)
    rows: Sequence[Any] = yield Ask(Series((before,), space.keys(ids), after, repeatable=True), "load")
    if wide:
        raw_names = [name.encode() for name in names]
        rows = [_row(reply, raw_names) for reply in rows]
    nothing = [None] * len(names)
    there = [at for at, row in enumerate(rows) if type(row) is list and row != nothing]
    if len(there) == len(ids):
        return [*_snapshots(space, ids, rows)]
    values = _snapshots(space, [ids[at] for at in there], [rows[at] for at in there])
    found: list[BaseModel | None] = [None] * len(ids)
    for at, value in zip(there, values, strict=True):
        found[at] = value
    odd = {
        at: _objects.guarded(space, ids[at], _without_fields(space, ids[at], rows[at]))
        for at in sorted({*range(len(ids))}.difference(there))
    }
    for at, value in (yield from _found(odd)):
        found[at] = value
    return found


def _snapshots(space: Space, ids: Sequence[str], rows: Sequence[Row]) -> Sequence[BaseModel]:
    """Return the snapshots that rows hold."""
    schema, names = space.schema, list(space.schema.fields)
    if (found := schema.rows.load_all(ids, rows)) is not None:
        return found
    raws = (dict(zip(names, row, strict=True)) for row in rows)
    return [schema.snapshot(schema.decode_all(id, each)) for id, each in zip(ids, raws, strict=True)]


def _row(reply: Any, raw_names: Sequence[bytes]) -> Any:
    """Return the fields that a reply of HGETALL has, in the model's order; what is no hash as it is."""
    if isinstance(reply, Exception):
        return reply
    if not reply:
        return None
    stored = _objects.pairs(reply)
    return [stored.get(name) for name in raw_names]


def _without_fields(space: Space, id: str, row: Any) -> Flow[BaseModel]:
    """Tell why there are none of the model's fields; the object may have others."""
    if isinstance(row, Exception):
        raise row
    if row is None:  # HGETALL has found no hash
        raise _objects.absent(space, id)
    if not (yield from _objects.lacks(space, id, space.schema.fields)):
        return (yield from _objects.get(space, id))
    return space.schema.snapshot(space.schema.decode_all(id, {}))


def _found(odd: dict[int, Flow[T]]) -> Flow[list[tuple[int, T]]]:
    """Run flows by their place; return the place and the value of each whose object is there."""
    if not odd:
        return []
    results = yield from settled(*odd.values())
    found: list[tuple[int, T]] = []
    for at, result in zip(odd, results, strict=True):
        if not isinstance(result, Exception):
            found.append((at, result))
        elif not isinstance(result, NotFound):
            raise result
    return found


def read_one(space: Space, ids: Sequence[str], name: str) -> Flow[list[Any]]:
    """Return one field of many objects in order, None for what is absent. One round trip: `HGET`."""
    replies = yield Ask(Series(("HGET",), space.keys(ids), (name,), repeatable=True), "read")
    if {bytes}.issuperset(map(type, replies)):
        try:
            return list(map(space.schema.fields[name].codec.load, replies))
        except Exception:  # noqa: BLE001  # one is not as it is usually written: each is looked at by itself below
            pass
    found: list[Any] = []
    odd: dict[int, Flow[tuple[bytes | None, Any]]] = {}
    for at, (id, raw) in enumerate(zip(ids, replies, strict=True)):
        if type(raw) is bytes:
            found.append(space.schema.decode(id, name, raw))
        else:
            found.append(None)
            odd[at] = _objects.guarded(space, id, _objects.fetch_absent(space, id, name, raw, creating=False))
    for at, (_, value) in (yield from _found(odd)):
        found[at] = value
    return found


def read_many(space: Space, ids: Sequence[str], names: Sequence[str]) -> Flow[list[list[Any] | None]]:
    """Return several fields of many objects in order, None for what is absent. One round trip: `HMGET`."""
    replies = yield Ask(Series(("HMGET",), space.keys(ids), tuple(names), repeatable=True), "read")
    loads = [space.schema.fields[name].codec.load for name in names]
    found: list[list[Any] | None] = []
    odd: dict[int, Flow[list[Any]]] = {}
    for at, reply in enumerate(replies):
        if isinstance(reply, Exception) or None in reply:
            found.append(None)
            odd[at] = _objects.guarded(space, ids[at], _of_reply(space, ids[at], names, reply))
            continue
        try:
            found.append([load(raw) for load, raw in zip(loads, reply, strict=True)])
        except Exception:  # noqa: BLE001  # something is not as it is usually written
            found.append([space.schema.decode(ids[at], name, raw) for name, raw in zip(names, reply, strict=True)])
    for at, values in (yield from _found(odd)):
        found[at] = values
    return found


def _of_reply(space: Space, id: str, names: Sequence[str], reply: Any) -> Flow[list[Any]]:
    if isinstance(reply, Exception):
        raise reply
    return (yield from _objects.values_of(space, id, names, reply))


# ---- writing


class Stored(NamedTuple):
    """The ids of a chunk that were stored, and those that were taken."""

    ids: list[str]
    taken: list[str]


def stored(space: Space, parts: Iterable[Stored]) -> list[str]:
    """Return the ids that all chunks have stored.

    Raises:
        AlreadyExists: with the ids that were taken and left as they are; all others are stored.
    """
    ids: list[str] = []
    taken: list[str] = []
    for part in parts:
        ids += part.ids
        taken += part.taken
    if taken:
        raise AlreadyExists(model=space.schema.name, ids=taken)
    return ids


def create_many(space: Space, values: Sequence[tuple[str, BaseModel]], tally: Tally) -> Flow[Stored]:
    """Store new objects. One round trip: a script for each few of them, which takes each by itself.

    Raises:
        ValidationError: the model refuses some; the others are stored.
    """
    ids, replies = yield from _write(space, values, _scripts.insert, tally)
    taken = _at_zero(ids, replies)
    return Stored([id for id, reply in zip(ids, replies, strict=True) if reply] if taken else ids, taken)


def put_many(space: Space, values: Sequence[tuple[str, BaseModel]], tally: Tally) -> Flow[Stored]:
    """Create or replace objects. One round trip: a script for each few of them, which takes each by itself.

    Raises:
        ValidationError: the model refuses some; the others are stored.
    """
    ids, _ = yield from _write(space, values, _scripts.replace, tally)
    return Stored(ids, [])


def delete_many(space: Space, ids: Sequence[str], tally: Tally) -> Flow[int]:
    """Delete objects; return how many were there. One round trip: a `DEL` for each."""
    return sum(_done(ids, (yield from _asked(ids, Series(("DEL",), space.keys(ids)), tally)), tally))


def _write(
    space: Space, values: Sequence[tuple[str, BaseModel]], script: Script, tally: Tally
) -> Flow[tuple[list[str], list[int]]]:
    """Run a script on each whole object; return the ids of those that the model admits, and the replies."""
    ids, whole = [id for id, _ in values], [value for _, value in values]
    rows, refused = space.schema.rows.dump_all(whole), list[tuple[str, ValidationError]]()
    if rows is None:
        ids, rows, refused = _judged(space, values)
    replies: list[int] = []
    if ids:
        replies = _done(ids, (yield from _stored(space, ids, rows, script, tally)), tally)
        tally.taken += _at_zero(ids, replies)
    if refused:
        raise tally.failed(space.schema.located(refused), [id for id, _ in refused], len(ids))
    return ids, replies


def _judged(
    space: Space, values: Sequence[tuple[str, BaseModel]]
) -> tuple[list[str], list[Row], list[tuple[str, ValidationError]]]:
    """Return ids and rows of the values that the model admits, and why it refuses the others."""
    ids: list[str] = []
    rows: list[Row] = []
    refused: list[tuple[str, ValidationError]] = []
    for id, value in values:
        try:
            rows.append(space.schema.encode_instance(value))
        except ValidationError as error:
            refused.append((id, error))
        else:
            ids.append(id)
    return ids, rows, refused


def _stored(space: Space, ids: Sequence[str], rows: Sequence[Row], script: Script, tally: Tally) -> Flow[list[Any]]:
    """Run a script on whole objects, whose fields' bytes are given in their order; return the reply for each.

    One round trip: a call for several of them, where all have the same fields and need not be in one slot.
    """
    alike = not (space.schema.rows.may_lack and any(None in row for row in rows))
    if not alike or space.dialect.sharded or len({*ids}) < len(ids):
        return (yield from _asked(ids, _calls(space, script, ids, rows, alike=alike), tally, script))
    size = max(1, _VALUES // len(space.schema.fields))
    commands = _calls_of_many(space, ids, rows, size, replaces=script is _scripts.replace)
    replies = yield from _asked(ids, commands, tally, _scripts.store_many, size)
    counts = (len(ids[at : at + size]) for at in range(0, len(ids), size))
    replies = [
        each
        for reply, count in zip(replies, counts, strict=True)
        for each in ([reply] * count if isinstance(reply, Exception) else reply)
    ]
    if CrossSlot in map(type, replies):  # nothing of these calls ran: a node of a cluster, whose client does not know
        space.dialect.sharded = True
        again = [at for at, reply in enumerate(replies) if type(reply) is CrossSlot]
        some = yield from _stored(space, [ids[at] for at in again], [rows[at] for at in again], script, tally)
        for at, reply in zip(again, some, strict=True):
            replies[at] = reply
    return replies


def _calls_of_many(
    space: Space, ids: Sequence[str], rows: Sequence[Row], size: int, *, replaces: bool
) -> list[Command]:
    """Return the commands that call a script on so many whole objects each."""
    names, keys = tuple(space.schema.fields), space.keys(ids)
    commands: list[Command] = []
    for at in range(0, len(ids), size):
        part, values = keys[at : at + size], cast(Any, chain.from_iterable(rows[at : at + size]))
        start = "EVALSHA", _scripts.store_many.sha, len(part)
        commands.append(Command((*start, *part, int(replaces), len(names), *names, *values)))
    return commands


def _calls(space: Space, script: Script, ids: Sequence[str], rows: Sequence[Row], *, alike: bool) -> Sequence[Command]:
    """Return the commands that call a script on one whole object each."""
    names, keys, start = tuple(space.schema.fields), space.keys(ids), ("EVALSHA", script.sha, 1)
    if alike:
        return Series(start, keys, names, rows=cast(Sequence[Sequence[bytes]], rows))
    commands: list[Command] = []
    for key, row in zip(keys, rows, strict=True):
        there = [(name, raw) for name, raw in zip(names, row, strict=True) if raw is not None]
        commands.append(Command((*start, key, *(part for pair in there for part in pair))))
    return commands


def _asked(
    ids: Sequence[str], commands: Sequence[Command], tally: Tally, script: Script | None = None, size: int = 1
) -> Flow[list[Any]]:
    """Write to objects; return the replies. One round trip; one more where a script is not known yet.

    Args:
        size: how many of the ids each command is about.
    """
    asked: Sequence[int] = range(len(commands))
    try:
        replies = yield Ask(commands, "write")
        if script is not None and (lacking := [at for at in asked if isinstance(replies[at], NoScript)]):
            asked = lacking
            again = [Command(("EVAL", script.source, *commands[at].args[2:])) for at in lacking]
            for at, reply in zip(lacking, (yield Ask(again, "write")), strict=True):
                replies[at] = reply
    except DistObjectsError as error:
        unknown = [id for at in asked for id in ids[at * size : (at + 1) * size]]
        tally.failed(error, unknown, len(ids) - len(unknown))
        raise
    return replies


def _done(ids: Sequence[str], replies: list[Any], tally: Tally) -> list[int]:
    """Return the replies for these ids, none of which is an error; raise what the first one says that is."""
    if not {int}.issuperset(map(type, replies)):
        failures = {id: reply for id, reply in zip(ids, replies, strict=True) if isinstance(reply, Exception)}
        tally.taken += _at_zero(ids, replies)
        raise tally.failed(next(iter(failures.values())), list(failures), len(ids) - len(failures))
    return replies


def _at_zero(ids: Sequence[str], replies: Sequence[Any]) -> list[str]:
    """Return the ids at which a script has found something, and has stored nothing."""
    return [id for id, reply in zip(ids, replies, strict=True) if reply == 0] if 0 in replies else []


# ---- all of them


def snapshots(space: Space, ids: Sequence[str]) -> Flow[list[tuple[str, BaseModel]]]:
    """Return id and snapshot of those that are there. One round trip, as `get_many`."""
    found = yield from get_many(space, ids)
    return [(id, value) for id, value in zip(ids, found, strict=True) if value is not None]


def scan(space: Space, cursor: int) -> Flow[tuple[int, list[str]]]:
    """Return the next cursor and a page of ids. One round trip: `SCAN`, never `KEYS`.

    As Redis promises for SCAN: what is there all the time is returned, and may be returned twice.
    """
    [reply] = yield from ask(reading("SCAN", cursor, "MATCH", space.pattern, "COUNT", CHUNK), label="scan")
    ids = dict.fromkeys(id for key in reply[1] if (id := space.id(key)) is not None)
    return int(reply[0]), list(ids)


def audit(space: Space, ids: Sequence[str]) -> Flow[list[Fault]]:
    """Return those whose model refuses what is stored. One round trip."""
    faults: list[Fault] = []
    results = yield from settled(*(_audited(space, id) for id in ids))
    for id, result in zip(ids, results, strict=True):
        if isinstance(result, (CorruptData, FieldUnset, ValidationError)):
            faults.append(Fault(id, result))
        elif isinstance(result, Exception) and not isinstance(result, NotFound):
            raise result
    return faults


def _audited(space: Space, id: str) -> Flow[None]:
    """Take the object through the whole model, its validators included, which plain reads trust."""
    snapshot = yield from _objects.get(space, id)
    space.schema.check_instance(snapshot)
