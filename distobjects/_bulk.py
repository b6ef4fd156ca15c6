"""Many objects: chunks, one round trip each. Pure flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from . import _objects
from ._flow import Flow, ask, reading, settled
from ._space import Space
from .errors import AlreadyExists, CorruptData, FieldUnset, NotFound

T = TypeVar("T")

# Objects in one round trip: enough to make the trip cheap, few enough to keep the server's other clients waiting
# little.
CHUNK = 1000


class Fault(NamedTuple):
    """An object that `audit` found wanting: its id, and why its model refuses what is stored."""

    id: str
    error: Exception


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Cut any iterable into lists of `CHUNK`, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _values(results: Sequence[Any]) -> list[Any]:
    """Return the results of settled flows: None for an absent object; any other failure is raised."""
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, NotFound):
            raise result
    return [None if isinstance(result, NotFound) else result for result in results]


def get_many(space: Space, ids: Iterable[str]) -> Flow[list[BaseModel | None]]:
    """Return snapshots in order, None for what is absent. One round trip for each chunk."""
    found: list[BaseModel | None] = []
    for chunk in chunks(ids):
        found += _values((yield from settled(*(_objects.get(space, id) for id in chunk))))
    return found


def read_many(space: Space, ids: Iterable[str], names: Sequence[str]) -> Flow[list[list[Any] | None]]:
    """Return fields of many objects in order, None for what is absent. One round trip for each chunk."""
    found: list[list[Any] | None] = []
    for chunk in chunks(ids):
        found += _values((yield from settled(*(_objects.read_many(space, id, names) for id in chunk))))
    return found


def create_many(space: Space, values: Iterable[tuple[str, BaseModel]]) -> Flow[list[str]]:
    """Store new objects; return their ids. One round trip for each chunk, each object atomically.

    Raises:
        AlreadyExists: with the ids that were taken and left as they are; all others are stored.
    """
    stored: list[str] = []
    taken: list[str] = []
    for chunk in chunks(values):
        results = yield from settled(*(_objects.create(space, id, value) for id, value in chunk))
        for (id, _), result in zip(chunk, results, strict=True):
            if isinstance(result, AlreadyExists):
                taken.append(id)
            elif isinstance(result, Exception):
                raise result
            else:
                stored.append(id)
    if taken:
        raise AlreadyExists(model=space.schema.name, ids=taken)
    return stored


def put_many(space: Space, values: Iterable[tuple[str, BaseModel]]) -> Flow[list[str]]:
    """Create or replace whole objects; return their ids. One round trip for each chunk, each object atomically."""
    stored: list[str] = []
    for chunk in chunks(values):
        _values((yield from settled(*(_objects.put(space, id, value) for id, value in chunk))))
        stored += [id for id, _ in chunk]
    return stored


def delete_many(space: Space, ids: Iterable[str]) -> Flow[int]:
    """Delete objects; return how many were there. One round trip for each chunk."""
    deleted = 0
    for chunk in chunks(ids):
        deleted += sum(_values((yield from settled(*(_objects.delete(space, id) for id in chunk)))))
    return deleted


def scan(space: Space, cursor: int) -> Flow[tuple[int, list[str]]]:
    """Return the next cursor and a page of ids. One round trip: `SCAN`, never `KEYS`.

    As Redis promises for SCAN: what is there all the time is returned, and may be returned twice.
    """
    [reply] = yield from ask(reading("SCAN", cursor, "MATCH", space.pattern, "COUNT", CHUNK), label="scan")
    ids = dict.fromkeys(id for key in reply[1] if (id := space.id(key)) is not None)
    return int(reply[0]), list(ids)


def audit(space: Space, ids: Iterable[str]) -> Flow[list[Fault]]:
    """Return those whose model refuses what is stored. One round trip for each chunk."""
    faults: list[Fault] = []
    for chunk in chunks(ids):
        results = yield from settled(*(_audited(space, id) for id in chunk))
        for id, result in zip(chunk, results, strict=True):
            if isinstance(result, (CorruptData, FieldUnset, ValidationError)):
                faults.append(Fault(id, result))
            elif isinstance(result, Exception) and not isinstance(result, NotFound):
                raise result
    return faults


def _audited(space: Space, id: str) -> Flow[None]:
    """Take the object through the whole model, its validators included, which plain reads trust."""
    snapshot = yield from _objects.get(space, id)
    space.schema.check_instance(snapshot)
