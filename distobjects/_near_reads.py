"""Reading whole objects for the near cache, and values from what it holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import _objects
from ._flow import Flow, ask, reading
from ._space import Space

Dated = tuple[dict[str, bytes], float | None]


def load_dated(space: Space, id: str) -> Flow[Dated]:
    """Return the bytes of the model's fields that are there, and the seconds that the object has left.

    One round trip: `HMGET` or `HGETALL`, and `PTTL`.

    Raises:
        NotFound: there is no such object.
    """
    return _objects.guarded(space, id, _load_dated(space, id))


def _load_dated(space: Space, id: str) -> Flow[Dated]:
    key, names = space.key(id), list(space.schema.fields)
    # Asked for first: an object that lives longer by the time it is read expires no sooner than this says.
    ttl = reading("PTTL", key)
    if _objects.is_wide(space):
        milliseconds, reply = yield from ask(ttl, reading("HGETALL", key), label="near")
        stored = _objects.pairs(reply)
        found = {name: stored[raw] for name in names if (raw := name.encode()) in stored}
    else:
        milliseconds, raws = yield from ask(ttl, reading("HMGET", key, *names), label="near")
        found = {name: raw for name, raw in zip(names, raws, strict=True) if raw is not None}
    if milliseconds == -2 or not found:
        raise _objects.absent(space, id)
    # Whole milliseconds of the server's clock: it may be almost one less.
    return found, None if milliseconds == -1 else (milliseconds - 1) / 1000


def value_of(space: Space, id: str, raws: Mapping[str, bytes], name: str) -> Any:
    """Return the value of one field, decoded anew; where it is absent its default, as `read` does."""
    if (raw := raws.get(name)) is not None:
        return space.schema.decode(id, name, raw)
    if space.schema.fields[name].default_reads_others:
        return space.schema.decode_all(id, raws)[name]
    return space.schema.default(id, name, {})
