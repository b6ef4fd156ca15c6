"""What `watch` tells, of a model's objects: where to look, and differences made into changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from . import _bulk, _objects
from ._changes import Change
from ._flow import Ask, Flow, WrongType, ask, reading
from ._space import Space, glob_escaped
from ._watching import Complete, Dated, Difference, Digests, Raws, Sight, Watching
from .errors import CorruptData


def sight_of(space: Space, *, whole: bool) -> Sight:
    """Return where to look for the objects of a space: all of them, or single ones."""
    return Sight(
        space.stem.encode() if whole else None,
        space.id,
        partial(_bulk.scan, space),
        partial(_load, space),
    )


def raw_watching(prefix: str, *, single: bool) -> Watching:
    """Return what watches hashes of any kind, by their keys: the ones that begin with a prefix, or a single one."""
    sight = Sight(None if single else prefix.encode(), _text, partial(_scan_raw, prefix), _load_raw)
    return Watching(sight, Complete(), [prefix] if single else None)


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def _scan_raw(prefix: str, cursor: int) -> Flow[tuple[int, list[str]]]:
    pattern = glob_escaped(prefix) + "*"
    [reply] = yield from ask(reading("SCAN", cursor, "MATCH", pattern, "COUNT", _bulk.CHUNK), label="scan")
    return int(reply[0]), [_text(key) for key in reply[1]]


def _load_raw(keys: Sequence[str]) -> Flow[list[Dated | None]]:
    lefts, replies = yield from _dated([key.encode(errors="surrogateescape") for key in keys], "HGETALL")
    found: list[Raws] = []
    for reply in replies:
        if isinstance(reply, Exception) and not isinstance(reply, WrongType):
            raise reply
        stored = {} if isinstance(reply, WrongType) else _objects.pairs(reply)
        found.append({name.decode(errors="backslashreplace"): raw for name, raw in stored.items()})
    return _where_any(found, lefts)


def _load(space: Space, ids: Sequence[str]) -> Flow[list[Dated | None]]:
    """Return what there is of the model's fields. One round trip: `PTTL`, and `HMGET` or `HGETALL`."""
    names, wide = tuple(space.schema.fields), _objects.is_wide(space)
    lefts, replies = yield from _dated(space.keys(ids), *(("HGETALL",) if wide else ("HMGET", *names)))
    for id, reply in zip(ids, replies, strict=True):
        if isinstance(reply, WrongType):
            kind = "the key holds no hash"
            raise CorruptData(model=space.schema.name, id=id, field=None, length=None, kind=kind) from reply
        if isinstance(reply, Exception):
            raise reply
    if wide:
        raw_names = [name.encode() for name in names]
        replies = [[*map(_objects.pairs(reply).get, raw_names)] for reply in replies]
    rows = (zip(names, reply, strict=True) for reply in replies)
    return _where_any([{name: raw for name, raw in row if raw is not None} for row in rows], lefts)


def _dated(keys: Sequence[Any], name: str, *after: str) -> Flow[tuple[list[float | None], list[Any]]]:
    """Return the seconds that keys have left, None where they stay, and what a command replies to each."""
    # Asked for first: an object that lives longer by the time it is read expires no sooner than this says.
    commands = [reading("PTTL", key) for key in keys]
    commands += [reading(name, key, *after) for key in keys]
    replies = yield Ask(commands, "watch")
    lefts = replies[: len(keys)]
    for left in lefts:
        if isinstance(left, Exception):
            raise left
    # Whole milliseconds of the server's clock: it may be almost one less.
    return [None if left < 0 else (left - 1) / 1000 for left in lefts], replies[len(keys) :]


def _where_any(found: Sequence[Raws], lefts: Sequence[float | None]) -> list[Dated | None]:
    return [(raws, left) if raws else None for raws, left in zip(found, lefts, strict=True)]


class View:
    """What one watcher sees of a space.

    Args:
        ids: the objects; None for all.
        names: only changes of these fields are told, and objects that come or go; all, where there are none.
    """

    def __init__(self, space: Space, ids: Sequence[str] | None, names: Iterable[str], *, initial: bool) -> None:
        self._space = space
        self._names = frozenset(names)
        seen = Digests(space.schema.fields) if ids is None else Complete()
        self.watching = Watching(sight_of(space, whole=ids is None), seen, ids, initial=initial)

    def change(self, difference: Difference) -> Change[Any] | None:
        """Return what to tell; None where it is nothing that is watched.

        Raises:
            CorruptData: what is stored is not what the model says.
        """
        id, fields, before, after, moved = difference
        if self._names:
            fields &= self._names
        if not fields and not moved:
            return None
        return Change(id, fields, self._snapshot(id, before), self._snapshot(id, after))

    def _snapshot(self, id: str, raws: Raws | None) -> Any:
        schema = self._space.schema
        if raws is None:
            return None
        values = schema.load(id, [*map(raws.get, schema.fields)])
        return schema.snapshot(schema.decode_all(id, raws) if values is None else values)
