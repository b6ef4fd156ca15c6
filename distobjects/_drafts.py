"""A draft: a local stand-in for an object, read once, changed freely, committed whole. No I/O of its own.

1. A draft passes for an instance of the model: its methods and properties run on it.
2. What is assigned is validated at once, field by field; rules across fields are judged at the end.
3. Compared when it is committed: the fields that were read or assigned; all of them where the model's rules cross
   fields, or the draft was dumped.
"""

from __future__ import annotations

import functools
from typing import Any, cast

from pydantic import BaseModel

from ._containers import plain
from ._impersonation import MISSING, lookup, namespace, setter
from ._schema import IDENTITY
from ._space import Space
from ._writes import Raws, differing, whole


class Draft:
    """The common part of the drafts of all models."""

    __slots__ = ("_assigned", "_id", "_space", "_stored", "_values")

    _space: Space
    _id: str
    _stored: Raws
    _values: dict[str, Any]
    _assigned: dict[str, bytes | None]

    def __getattr__(self, name: str) -> Any:
        model = self._space.schema.model
        found = lookup(self, model, name, self._plain)
        if found is MISSING:
            raise self._space.schema.unknown(name)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        schema = self._space.schema
        if set_property := setter(schema.model, name):
            set_property(self, value)
            return
        checked = schema.check(name, plain(value))
        # The model's rules may still make something else of a cross-field model's value: it has no bytes yet.
        self._assigned[name] = None if schema.cross_field else schema.encode(name, checked)
        self._values[name] = checked

    def __dir__(self) -> list[str]:
        return dir(self._space.schema.model)

    def __eq__(self, other: object) -> bool:
        return self is other or bool(self._plain() == other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<draft {self._space.schema.name} {self._space.key(self._id)!r}>"

    def __iter__(self) -> Any:
        return iter(cast(Any, self._plain()))

    def _read(self, name: str) -> Any:
        """Return a field's value, decoded at its first use; from then on the commit depends on it."""
        if name not in self._values:
            raw = self._stored[name]
            schema = self._space.schema
            self._values[name] = self._default(name) if raw is None else schema.decode(self._id, name, raw)
        return self._values[name]

    def _default(self, name: str) -> Any:
        """Return what an absent field reads as, which may depend on all before it."""
        schema = self._space.schema
        before: dict[str, Any] = {}
        if schema.fields[name].default_reads_others:
            names = list(schema.fields)
            before = {each: self._read(each) for each in names[: names.index(name)]}
        return schema.default(self._id, name, before)

    def _plain(self) -> BaseModel:
        """Return an instance of the model with the draft's values; it has read every field."""
        schema = self._space.schema
        identity = {IDENTITY: schema.identity_of(self._id)} if schema.identity else {}
        return schema.snapshot(identity | {name: self._read(name) for name in schema.fields})


class _DraftField:
    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, draft: Draft | None, owner: type) -> Any:
        return self if draft is None else draft._read(self.name)

    def __set__(self, draft: Draft, value: Any) -> None:
        Draft.__setattr__(draft, self.name, value)


def _identity(draft: Draft) -> Any:
    return draft._space.schema.identity_of(draft._id)


def _fields(draft: Draft) -> dict[str, Any]:
    return vars(draft._plain())


@functools.cache
def _draft_class(model: type[BaseModel]) -> type[Draft]:
    members = namespace(model)
    members |= {name: _DraftField(name) for name in model.model_fields if name != IDENTITY}
    if IDENTITY in model.model_fields:
        members[IDENTITY] = property(_identity)
    members["__dict__"] = property(_fields)
    return type(model.__name__, (Draft,), members)


def open_draft(space: Space, id: str, stored: Raws) -> Draft:
    """Return a draft of what is stored."""
    draft = object.__new__(_draft_class(space.schema.model))
    state: dict[str, Any] = {"_space": space, "_id": id, "_stored": stored, "_values": {}, "_assigned": {}}
    for name, value in state.items():
        object.__setattr__(draft, name, value)
    return draft


def outcome(draft: Draft) -> tuple[Raws, Raws]:
    """Return what the commit of a draft depends on, and what it writes.

    Raises:
        ValidationError: the model refuses what became of the draft.
    """
    schema, stored = draft._space.schema, draft._stored
    if not schema.cross_field:
        basis = {name: stored[name] for name in draft._values}
        return basis, differing({name: _raw(draft, name) for name in basis}, stored)
    changed = {name: value for name, value in draft._values.items() if name in draft._assigned}
    for name in draft._values.keys() - changed.keys():
        if _raw(draft, name) != stored[name]:
            changed[name] = draft._values[name]
    raws: Raws = whole(draft._space, draft._id, stored, changed) if changed else stored
    return stored, differing(raws, stored)


def _raw(draft: Draft, name: str) -> bytes | None:
    """Return a touched field's bytes, validated if it was changed in place since it was read or assigned."""
    schema, value, stored = draft._space.schema, draft._values[name], draft._stored[name]
    try:
        raw = schema.encode(name, value)
    except ValueError:
        pass  # changed into what has no bytes: said below
    else:
        if raw == stored or raw == draft._assigned.get(name, stored):
            return raw
    value = draft._values[name] = schema.check_changed(name, value)
    return schema.encode(name, value)
