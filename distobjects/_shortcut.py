"""The short way to one field: one command that has been packed before, and no flow where the reply is a plain one.

1. The command is the one that the flow would ask first: it is packed from the flow itself.
2. What is no plain reply (an absent field, an error, none at all) is given to that flow, which goes on from there:
   the same errors, the same attempts, the same round trips.
3. There is none past a near cache or a mirror, through a client that is not driven by hand, or where the model has a
   say in whether a value is valid: then the flow is run from its beginning.
"""

from __future__ import annotations

from typing import Any

from . import _objects, _writes
from ._binding import Binding
from ._flow import Argument, Ask, Flow, advance
from ._wire import stencil

# Stand for an id and for bytes while a command is being packed.
_ID, _RAW = "id", b":raw"


class Shortcut:
    """Reads and writes one field of the objects of one binding."""

    def __init__(self, binding: Binding, name: str) -> None:
        space, field = binding.space, binding.space.schema.fields[name]
        self.binding = binding
        self.name = name
        self._runner = binding.backend._short
        self._decode, self._dump = field.codec.decode, field.codec.dump
        self._key, self._stem = space.key, space.stem
        self._none_is_absent = field.none_is_absent
        self._writable = field.plain and field.codec.assignable and not space.schema.cross_field
        self._reading = _packed(self._fetch(_ID), space.key(_ID))
        # By whether the server has HSETEX.
        self._writing = [_packed(self._store(_ID, _RAW, native), space.key(_ID), _RAW) for native in (False, True)]

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
        key = (self._stem + id if id.isalnum() else self._key(id)).encode()
        reply = runner.send(self._reading % (len(key), key), False)
        if type(reply) is bytes:
            try:
                return reply, self._decode(reply)
            except Exception:  # noqa: BLE001  # the flow says it again, with all that there is to say
                pass
        return runner.finish(self._fetch(id), reply)

    def write(self, id: str, value: Any) -> None:
        """Validate and write a value, which is to be a plain one."""
        backend, space, creating = self.binding
        runner = self._runner
        if runner is not None and (raw := self._encoded(value)) is not None:
            key = (self._stem + id if id.isalnum() else self._key(id)).encode()
            native = space.dialect.hsetex
            reply = runner.send(self._writing[native] % (len(key), key, len(raw), raw), True)
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


def _packed(flow: Flow[Any], *gaps: Argument) -> bytes:
    """Return the stencil of the one command that a flow asks first."""
    step = advance(flow)
    assert isinstance(step, Ask)
    [command] = step.commands
    return stencil(command, *gaps)
