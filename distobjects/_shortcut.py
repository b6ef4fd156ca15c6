"""The short ways: one command that is prepared, and no flow where the reply is a plain one.

1. The command is the one that the flow would ask first: it is packed from the flow itself.
2. What is no plain reply (an absent field, an error, none at all) is given to that flow, which goes on from there:
   the same errors, the same attempts, the same round trips.
3. There is none past a near cache or a mirror, through a client that is not driven by hand, or where the model has a
   say in whether a value is valid: then the flow is run from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from . import _objects, _writes
from ._binding import Backend, Binding
from ._flow import Flow
from ._prepared import ID, RAW, Prepared, PreparedWhole, prepared
from ._rows import Row
from ._space import Space

T = TypeVar("T")


class Shortcut:
    """Reads and writes one field of the objects of one binding."""

    def __init__(self, binding: Binding, name: str) -> None:
        space, field = binding.space, binding.space.schema.fields[name]
        self.binding = binding
        self.name = name
        self._runner = binding.backend._short
        self._load, self._dump = field.codec.load, field.codec.dump
        self._none_is_absent = field.none_is_absent
        self._writable = field.plain and field.codec.assignable and not space.schema.cross_field
        self._reading = prepared(space, name)
        # By whether the server has HSETEX.
        self._writing = [Prepared(space, self._store(ID, RAW, native)) for native in (False, True)]

    def _fetch(self, id: str) -> Flow[tuple[bytes | None, Any]]:
        _, space, creating = self.binding
        return _objects.fetch(space, id, self.name, creating=creating)

    def _store(self, id: str, raw: bytes, native: bool) -> Flow[None]:
        _, space, creating = self.binding
        return _writes.write_raw(space, id, self.name, raw, creating=creating, native=native)

    def read(self, id: str) -> tuple[bytes | None, Any]:
        """Return the bytes of the field, None where it is absent, and its value."""
        runner = self._runner
        if runner is None:
            return self.binding.backend.run(self._fetch(id))
        reply = runner.send(self._reading.command(id), False)
        if type(reply) is bytes:
            try:
                return reply, self._load(reply)
            except Exception:  # noqa: BLE001  # the flow says it again, with all that there is to say
                pass
        return runner.finish(self._fetch(id), reply)

    def write(self, id: str, value: Any) -> None:
        """Validate and write a value, which is to be a plain one."""
        backend, space, creating = self.binding
        runner = self._runner
        if runner is not None and (raw := self._encoded(value)) is not None:
            native = space.dialect.hsetex
            reply = runner.send(self._writing[native].command(id, raw), True)
            if reply != 1 and not (creating and type(reply) is int):
                runner.finish(self._store(id, raw, native), reply)
        else:
            backend.run(_writes.write(space, id, {self.name: value}, creating=creating))

    def _encoded(self, value: Any) -> bytes | None:
        """Return the bytes of a value; None where it is for the flow to say what they are, or why there are none."""
        if not self._writable or (value is None and self._none_is_absent):
            return None
        try:
            return self._dump(value)
        except Exception:  # noqa: BLE001  # nothing is lost: the flow meets it too
            return None


class Whole:
    """Reads and writes whole objects of one space."""

    def __init__(self, backend: Backend, space: Space) -> None:
        self._backend = backend
        self._space = space
        self._runner = backend._short
        self._prepared = PreparedWhole(space)

    def get(self, id: str) -> BaseModel:
        """Return a snapshot of the object."""
        runner, getting = self._runner, self._prepared.getting
        if runner is None or getting is None:
            return self._backend.run(_objects.get(self._space, id))
        reply = runner.send(getting.command(id), False)
        if (found := self._prepared.load(id, reply)) is not None:
            return found
        return runner.finish(_objects.get(self._space, id), reply)

    def create(self, id: str, value: BaseModel) -> None:
        """Store a new object; refuse to, where something is stored under this id."""
        self._store(id, value, self._prepared.inserting, _objects.create)

    def put(self, id: str, value: BaseModel) -> None:
        """Store an object in place of whatever is there."""
        self._store(id, value, self._prepared.replacing, _objects.put)

    def get_or_create(self, id: str, value: BaseModel) -> None:
        """Store a new object unless there is one."""
        self._store(id, value, self._prepared.inserting, _objects.get_or_create, fine=(1, 0))

    def _store(
        self,
        id: str,
        value: BaseModel,
        storing: Prepared,
        flow: Callable[[Space, str, BaseModel, Row | None], Flow[object]],
        fine: tuple[int, ...] = (1,),
    ) -> None:
        runner = self._runner
        row = None if runner is None else self._prepared.dump(value)
        if runner is None or row is None:
            self._backend.run(flow(self._space, id, value, None))
            return
        reply = runner.send(storing.command(id, *row), True)
        if reply not in fine:
            runner.finish(flow(self._space, id, value, row), reply)
