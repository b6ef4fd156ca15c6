"""Whole objects and rows of bytes, one for each field: the short way there and back. Decides nothing.

Where anything is not as it usually is, the answer is None, and the schema goes its long way, which tells what is wrong.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel

Row = Sequence[bytes | None]

_call = cast(Callable[[Callable[[Any], Any], Any], Any], operator.call)

# The slots of an instance, past the model's own `__setattr__`: half of the cost of object's.
_set_values, _set_fields_set, _set_extra, _set_private = (
    cast(Callable[[BaseModel, Any], None], vars(BaseModel)[slot].__set__)
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


def instance(model: type[BaseModel], values: dict[str, Any], fields_set: set[str]) -> BaseModel:
    """Return an instance that holds these values, with nothing done to them."""
    made = model.__new__(model)
    _set_values(made, values)
    _set_fields_set(made, fields_set)
    _set_extra(made, None)
    _set_private(made, None)
    return made


@dataclass(frozen=True, slots=True)
class Rows:
    """The short ways of one model.

    Attributes:
        dumps: by field, any value to its bytes, and at last a check of the identity; None where an instance is judged
            by more than the types of its fields.
        loads: by field, bytes to a value; None where it is nothing unusual that a field is absent.
        identity: reads the id as the model's own field has it, where it has one: `name` and what reads it.
        dump_columns, load_columns: by field, what `dumps` and `loads` do with the values of many objects.
    """

    model: type[BaseModel]
    dumps: Mapping[str, Callable[[Any], Any]] | None
    loads: Mapping[str, Callable[[bytes], Any]] | None
    identity: tuple[str, Callable[[str], Any]] | None
    dump_columns: Mapping[str, Callable[[Sequence[Any]], Sequence[Any]]]
    load_columns: Mapping[str, Callable[[Sequence[bytes]], Sequence[Any]]]

    @property
    def may_lack(self) -> bool:
        """Whether a whole object's row may hold None."""
        return self.loads is None

    def dump(self, value: BaseModel) -> Row | None:
        """Return an instance's row."""
        if self.dumps is None or type(value) is not self.model:
            return None
        try:
            raws = [*map(_call, self.dumps.values(), map(vars(value).__getitem__, self.dumps))]
        except Exception:  # noqa: BLE001  # whatever it is: the long way meets it again, and tells of it by name
            return None
        if self.identity is not None:
            raws.pop()
        return raws

    def dump_all(self, values: Sequence[BaseModel]) -> list[Row] | None:
        """Return the rows of many instances, field by field: two thirds of the cost of one by one."""
        if self.dumps is None or {*map(type, values)} != {self.model}:
            return None
        held = [*map(vars, values)]
        try:
            columns = [dump([each[name] for each in held]) for name, dump in self.dump_columns.items()]
            if self.identity is not None:
                name = self.identity[0]
                for each in held:
                    self.dumps[name](each[name])
        except Exception:  # noqa: BLE001  # as above
            return None
        return [*zip(*columns, strict=True)]

    def load(self, id: str, row: Row) -> dict[str, Any] | None:
        """Return the values of a row, and the identity."""
        if self.loads is None:
            return None
        try:
            values = {} if self.identity is None else {self.identity[0]: self.identity[1](id)}
            values.update(zip(self.loads, map(_call, self.loads.values(), cast(Any, row)), strict=True))
        except Exception:  # noqa: BLE001  # as above
            return None
        return values

    def load_all(self, ids: Sequence[str], rows: Sequence[Row]) -> list[BaseModel] | None:
        """Return snapshots of many rows, field by field: two thirds of the cost of one by one."""
        if self.loads is None:
            return None
        names = [*self.loads]
        try:
            columns = [
                load(cast(Any, column))
                for load, column in zip(self.load_columns.values(), zip(*rows, strict=True), strict=True)
            ]
            if self.identity is not None:
                names.insert(0, self.identity[0])
                columns.insert(0, [*map(self.identity[1], ids)])
        except Exception:  # noqa: BLE001  # as above
            return None
        return [self.snapshot(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]

    def snapshot(self, values: dict[str, Any]) -> BaseModel:
        """Return an instance of the model that holds these values, which are valid already."""
        made = instance(self.model, values, {*values})
        if self.model.__pydantic_post_init__:
            made.model_post_init(None)
        return made
