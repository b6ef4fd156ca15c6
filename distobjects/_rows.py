"""Whole objects and rows of bytes, one for each field: the short way there and back. Decides nothing.

Where anything is not as it usually is, the answer is None, and the schema goes its long way, which tells what is wrong.
"""

from __future__ import annotations

import gc
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, cast

from pydantic import BaseModel

from ._unrolled import call_each, name_all, name_each

Row = Sequence[bytes | None]

# The slots of an instance, past the model's own `__setattr__`: half of the cost of object's.
_set_values, _set_fields_set, _set_extra, _set_private = (
    cast(Callable[[BaseModel, Any], None], vars(BaseModel)[slot].__set__)
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)


# Blocks in which the garbage collector rests. In the child after a fork, those of other threads never end.
_resting = set[object]()


def _collect_again() -> None:
    if _resting:
        gc.enable()
        _resting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_collect_again)


@contextmanager
def _uncollected() -> Generator[None]:
    """Let the garbage collector rest: all that is made here stays, and it would look through it several times.

    With 100,000 objects of ten fields, that took a quarter of the time to read them.
    """
    if not gc.isenabled():  # so that whoever disables it enables it, whatever other threads do
        yield
        return
    block = object()
    try:
        _resting.add(block)
        gc.disable()
        yield
    finally:
        gc.enable()
        _resting.discard(block)


def instance(model: type[BaseModel], values: dict[str, Any], fields_set: set[str]) -> BaseModel:
    """Return an instance that holds these values, with nothing done to them."""
    made = model.__new__(model)
    _set_values(made, values)
    _set_fields_set(made, fields_set)
    _set_extra(made, None)
    _set_private(made, None)
    return made


@dataclass(frozen=True)
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

    @cached_property
    def _call_dumps(self) -> Callable[[Mapping[str, Any]], Any]:
        dumps = self.dumps or {}
        return call_each([*dumps], [*dumps.values()])

    @cached_property
    def _call_loads(self) -> Callable[[Row], dict[str, Any]]:
        loads = self.loads or {}
        return name_each([*loads], [*loads.values()])

    @cached_property
    def _name_all(self) -> Callable[[Iterable[Sequence[Any]]], list[dict[str, Any]]]:
        return name_all([*([self.identity[0]] if self.identity else ()), *(self.loads or ())])

    @property
    def may_lack(self) -> bool:
        """Whether a whole object's row may hold None."""
        return self.loads is None

    def dump(self, value: BaseModel) -> Row | None:
        """Return an instance's row."""
        if self.dumps is None or type(value) is not self.model:
            return None
        try:
            raws: list[bytes] = self._call_dumps(vars(value))
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
            values = self._call_loads(row)
            if self.identity is not None:
                values = {self.identity[0]: self.identity[1](id), **values}
        except Exception:  # noqa: BLE001  # as above
            return None
        return values

    def load_all(self, ids: Sequence[str], rows: Sequence[Row]) -> list[BaseModel] | None:
        """Return snapshots of many rows, field by field: half of the cost of one by one."""
        if self.loads is None:
            return None
        with _uncollected():
            try:
                columns = [
                    load(cast(Any, column))
                    for load, column in zip(self.load_columns.values(), zip(*rows, strict=True), strict=True)
                ]
                if self.identity is not None:
                    columns.insert(0, [*map(self.identity[1], ids)])
            except Exception:  # noqa: BLE001  # as above
                return None
            return self._snapshots(self._name_all(zip(*columns, strict=True)))

    def _snapshots(self, values: Sequence[dict[str, Any]]) -> list[BaseModel]:
        """Return what `snapshot` does of each, one slot of all instances after the other: half of the cost."""
        made = [*map(self.model.__new__, repeat(self.model, len(values)))]
        for fill, contents in (
            (_set_values, values),
            (_set_fields_set, map(cast(Callable[[Any], Any], set), values)),  # `set[str]` takes three times as long
            (_set_extra, repeat(None)),
            (_set_private, repeat(None)),
        ):
            deque(map(fill, made, contents), 0)
        if self.model.__pydantic_post_init__:
            for each in made:
                each.model_post_init(None)
        return made

    def snapshot(self, values: dict[str, Any]) -> BaseModel:
        """Return an instance of the model that holds these values, which are valid already."""
        made = instance(self.model, values, {*values})
        if self.model.__pydantic_post_init__:
            made.model_post_init(None)
        return made
