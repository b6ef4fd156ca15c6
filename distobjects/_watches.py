"""What `watch` tells, of a model's objects: where to look, and differences made into changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from . import _bulk, _objects
from ._changes import Change
from ._flow import Flow, WrongType, ask, reading
from ._near_reads import load_dated
from ._space import Space, glob_escaped
from ._watching import Complete, Difference, Digests, Raws, Sight, Watching
from .errors import NotFound


def sight_of(space: Space, *, whole: bool) -> Sight:
    """Return where to look for the objects of a space: all of them, or single ones."""
    return Sight(
        space.stem.encode() if whole else None,
        space.id,
        partial(_bulk.scan, space),
        partial(load_dated, space),
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


def _load_raw(key: str) -> Flow[tuple[Raws, float | None]]:
    raw = key.encode(errors="surrogateescape")
    try:
        milliseconds, reply = yield from ask(reading("PTTL", raw), reading("HGETALL", raw), label="watch")
    except WrongType:
        milliseconds, reply = -2, []
    if not reply:
        raise NotFound(model="hash", id=key)
    found = {name.decode(errors="backslashreplace"): value for name, value in _objects.pairs(reply).items()}
    return found, None if milliseconds < 0 else (milliseconds - 1) / 1000


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
        return None if raws is None else schema.snapshot(schema.decode_all(id, raws))
