"""A draft: a local stand-in for an object, read once, changed freely, committed whole. No I/O of its own.

1. A draft passes for an instance of the model: its methods and properties run on it.
2. What is assigned is validated at once, field by field; rules across fields are judged at the end.
3. Compared when it is committed: the fields that were read or assigned; all of them where the model's rules cross
   fields, or the draft was dumped.
"""

from __future__ import annotations

import copy
import functools
from typing import Any, cast

from pydantic import BaseModel

from ._containers import plain
from ._impersonation import MISSING, lookup, namespace, setter
from ._roundtrip import same
from ._schema import IDENTITY
from ._space import Space
from ._writes import Raws, differing, whole


class Draft:
    """The common part of the drafts of all models. Its names are none that a model may have itself."""

    __slots__ = ("_draft_assigned", "_draft_defaults", "_draft_id", "_draft_space", "_draft_stored", "_draft_values")

    _draft_space: Space
    _draft_id: str
    _draft_stored: Raws
    _draft_values: dict[str, Any]
    _draft_assigned: dict[str, bytes | None]
    _draft_defaults: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        model = self._draft_space.schema.model
        found = lookup(self, model, name, self._draft_plain)
        if found is MISSING:
            raise self._draft_space.schema.unknown(name)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        schema = self._draft_space.schema
        if set_property := setter(schema.model, name):
            set_property(self, value)
            return
        checked = schema.check(name, plain(value))
        # The model's rules may still make something else of a cross-field model's value: it has no bytes yet.
        self._draft_assigned[name] = None if schema.cross_field else schema.encode(name, checked)
        self._draft_values[name] = checked

    def __dir__(self) -> list[str]:
        model = self._draft_space.schema.model
        return [*dir(model), *model.model_fields]

    def __eq__(self, other: object) -> bool:
        return self is other or bool(self._draft_plain() == other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<draft {self._draft_space.schema.name} {self._draft_space.key(self._draft_id)!r}>"

    def __iter__(self) -> Any:
        return iter(cast(Any, self._draft_plain()))

    def _draft_read(self, name: str) -> Any:
        """Return a field's value, decoded at its first use; from then on the commit depends on it."""
        if name not in self._draft_values:
            raw = self._draft_stored[name]
            schema = self._draft_space.schema
            if raw is not None:
                self._draft_values[name] = schema.decode(self._draft_id, name, raw)
            else:
                self._draft_values[name] = self._draft_default(name)
                self._draft_defaults[name] = copy.deepcopy(self._draft_values[name])
        return self._draft_values[name]

    def _draft_default(self, name: str) -> Any:
        """Return what an absent field reads as, which may depend on all before it."""
        schema = self._draft_space.schema
        before: dict[str, Any] = {}
        if schema.fields[name].default_reads_others:
            names = list(schema.fields)
            before = {each: self._draft_read(each) for each in names[: names.index(name)]}
        return schema.default(self._draft_id, name, before)

    def _draft_plain(self) -> BaseModel:
        """Return an instance of the model with the draft's values; it has read every field."""
        schema = self._draft_space.schema
        identity = {IDENTITY: schema.identity_of(self._draft_id)} if schema.identity else {}
        return schema.snapshot(identity | {name: self._draft_read(name) for name in schema.fields})


class _DraftField:
    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, draft: Draft | None, owner: type) -> Any:
        return self if draft is None else draft._draft_read(self.name)

    def __set__(self, draft: Draft, value: Any) -> None:
        Draft.__setattr__(draft, self.name, value)


def _identity(draft: Draft) -> Any:
    return draft._draft_space.schema.identity_of(draft._draft_id)


def _fields(draft: Draft) -> dict[str, Any]:
    return vars(draft._draft_plain())


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
    state: dict[str, Any] = {"_draft_space": space, "_draft_id": id, "_draft_stored": stored}
    state |= {"_draft_values": {}, "_draft_assigned": {}, "_draft_defaults": {}}
    for name, value in state.items():
        object.__setattr__(draft, name, value)
    return draft


def outcome(draft: Draft) -> tuple[Raws, Raws]:
    """Return what the commit of a draft depends on, and what it writes.

    Raises:
        ValidationError: the model refuses what became of the draft.
    """
    schema, stored = draft._draft_space.schema, draft._draft_stored
    if not schema.cross_field:
        basis = {name: stored[name] for name in draft._draft_values}
        return basis, differing({name: _raw(draft, name) for name in basis}, stored)
    changed = {name: value for name, value in draft._draft_values.items() if name in draft._draft_assigned}
    for name in draft._draft_values.keys() - changed.keys():
        if _raw(draft, name) != stored[name]:
            changed[name] = draft._draft_values[name]
    if not changed:
        return stored, {}
    written = differing(whole(draft._draft_space, draft._draft_id, stored, changed), stored)
    for name, raw in written.items():
        if raw is not None:  # the rules may have made something else of it
            draft._draft_values[name] = schema.decode(draft._draft_id, name, raw)
    return stored, written


def _raw(draft: Draft, name: str) -> bytes | None:
    """Return a touched field's bytes, validated if it was changed in place since it was read or assigned."""
    schema, value, stored = draft._draft_space.schema, draft._draft_values[name], draft._draft_stored[name]
    if stored is None and name not in draft._draft_assigned and same(value, draft._draft_defaults[name]):
        return None  # a default that was only read is not stored by that
    try:
        raw = schema.encode(name, value)
    except ValueError:
        pass  # changed into what has no bytes: said below
    else:
        if raw == stored or raw == draft._draft_assigned.get(name, stored):
            return raw
    value = draft._draft_values[name] = schema.check_changed(name, value)
    return schema.encode(name, value)
