"""What the faces accept, made into what the flows take: ids, values that carry one, references, changes. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from . import _bulk, _objects
from ._async_live import AsyncDObject
from ._flow import Flow
from ._live import DObject
from ._prepared import PreparedRead, prepared
from ._reference import field_of, path_of, select
from ._schema import IDENTITY, id_in
from ._space import Id, Space, canonical, new_id

M = TypeVar("M", bound=BaseModel)

MISSING: Any = object()

__all__ = [
    "MISSING",
    "changes",
    "field_of",
    "id_of",
    "identified",
    "identified_many",
    "ids_of",
    "items_of",
    "paths_of",
    "prepared_read",
    "reading",
    "reading_many",
    "selected",
    "stored_names",
]


def id_of(space: Space, backend: object, id: object) -> str:
    """Return the canonical id that an id or a live object of this space means."""
    if isinstance(id, DObject):
        home: object = getattr(id._binding.backend, "origin", id._binding.backend)  # a mirror stands before it
        held = id._binding.space
    elif isinstance(id, AsyncDObject):
        home, held = id._backend, id._space
    else:
        return canonical(id)
    if home is not backend or held.stem != space.stem:
        raise ValueError(f"{id!r} does not live in {space.stem!r} here; pass its id if that is what you mean")
    return id._id


def identified(space: Space, value: M, id: Id | None) -> tuple[str, M]:
    """Return the id that a value is to be stored under, and the value as a plain instance.

    Raises:
        ValueError: the value carries another id, or there is none and the model admits no new one.
    """
    if isinstance(value, (DObject, AsyncDObject)):
        raise TypeError(f"{value!r} is stored already; put its snapshot, get(id), elsewhere")
    carried = id_in(space.schema, value)
    if id is None:
        return carried or _new_id(space), value
    chosen = canonical(id)
    if carried is not None and carried != chosen:
        raise ValueError(f"id={chosen!r} differs from the id that the {space.schema.name} carries, {carried!r}")
    return chosen, value


def _new_id(space: Space) -> str:
    fresh = new_id()
    try:
        if space.schema.identity:
            space.schema.identity(fresh)
    except ValidationError as error:
        raise ValueError(f"this {space.schema.name} carries no id and its type admits no UUID; pass id=") from error
    return fresh


def ids_of(space: Space, backend: object, ids: list[Any]) -> list[str]:
    """Return the canonical ids that many ids or live objects mean, as `id_of` does."""
    kinds = set(map(type, ids))
    if kinds == {str} and all(ids) and "".join(ids).isascii():
        return ids
    if kinds == {int}:
        return list(map(int.__repr__, ids))
    return [id_of(space, backend, id) for id in ids]


def items_of(values: Any) -> Any:
    """Return what `identified_many` takes: values, or pairs of an id and a value."""
    return cast(Any, values).items() if isinstance(values, Mapping) else values


def identified_many(space: Space, items: list[Any], *, keyed: bool) -> list[tuple[str, BaseModel]]:
    """Return each value with the id that it is to be stored under."""
    if keyed:
        return [identified(space, value, id) for id, value in items]
    return [identified(space, value, None) for value in items]


def changes(given: Mapping[str, Any] | BaseModel) -> Mapping[str, Any]:
    """Return changes by field name: a mapping as it is, of a model what was set."""
    if isinstance(given, BaseModel):
        return {name: getattr(given, name) for name in given.model_fields_set if name != IDENTITY}
    return given


def reading(space: Space, id: str, references: Sequence[object]) -> Flow[Any]:
    """Return the flow that reads what the references name: one value, or a tuple."""
    return _reading(space, id, paths_of(space, references))


def paths_of(space: Space, references: Sequence[object]) -> list[tuple[str, ...]]:
    """Return the paths that references to read name."""
    paths = [path_of(space.schema, reference) for reference in references]
    if not paths:
        raise TypeError("read() needs at least one field reference")
    return paths


def prepared_read(space: Space, references: Sequence[object]) -> PreparedRead | None:
    """Return the prepared read of what the references name, where that is one whole field."""
    if len(references) != 1:
        return None
    name, *rest = path_of(space.schema, references[0])
    return None if rest or name == IDENTITY else prepared(space, name)


def _reading(space: Space, id: str, paths: Sequence[tuple[str, ...]]) -> Flow[Any]:
    names = stored_names(paths)
    if len(paths) == 1 and names:
        return select((yield from _objects.read(space, id, names[0])), paths[0][1:])
    values = (yield from _objects.read_many(space, id, names)) if names else []
    return selected(space, id, dict(zip(names, values, strict=True)), paths)


def reading_many(space: Space, references: Sequence[object]) -> Callable[[list[str]], Flow[list[Any]]]:
    """Return what makes the flow that reads what the references name from many objects."""
    paths = [path_of(space.schema, reference) for reference in references]
    if not paths:
        raise TypeError("read_many() needs at least one field reference")
    names = stored_names(paths)
    if len(paths) == 1 and names and len(paths[0]) == 1:
        return partial(_bulk.read_one, space, name=names[0])
    return partial(_reading_many, space, names=names, paths=paths)


def _reading_many(
    space: Space, ids: Sequence[str], names: Sequence[str], paths: Sequence[tuple[str, ...]]
) -> Flow[list[Any]]:
    rows = (yield from _bulk.read_many(space, ids, names)) if names else [list[Any]() for _ in ids]
    if paths == [(name,) for name in names]:
        return [None if row is None else tuple(row) for row in rows]
    return [
        None if row is None else selected(space, id, dict(zip(names, row, strict=True)), paths)
        for id, row in zip(ids, rows, strict=True)
    ]


def stored_names(paths: Sequence[tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(path[0] for path in paths if path[0] != IDENTITY))


def selected(space: Space, id: str, values: dict[str, Any], paths: Sequence[tuple[str, ...]]) -> Any:
    if space.schema.identity:
        values[IDENTITY] = space.schema.identity_of(id)
    selected = tuple(select(values[path[0]], path[1:]) for path in paths)
    return selected[0] if len(selected) == 1 else selected
