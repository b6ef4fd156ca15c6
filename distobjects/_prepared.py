"""Commands packed before there is an id to put in: what a flow asks first, but for the key and for values' bytes.

For the hot paths of both colours: building a command from its arguments takes longer than the rest of a short flow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from pydantic import BaseModel

from . import _objects, _scripts
from ._flow import Ask, Flow, advance
from ._space import Space
from ._wire import key_of, stencil

# Stand for an id and for a value's bytes while a command is being packed.
ID, RAW = "id", b":raw"


class Prepared:
    """The one command that a flow asks first.

    Args:
        flow: works on the object `ID`; each `RAW` among the arguments of its command is left open, as the key is.
    """

    __slots__ = ("_key", "_stem", "_stencil")

    def __init__(self, space: Space, flow: Flow[Any]) -> None:
        step = advance(flow)
        assert isinstance(step, Ask)
        [command] = step.commands
        key = key_of(command)
        self._stencil = stencil([None if each is key or each is RAW else each for each in command.args])
        self._stem, self._key = space.stem, space.key

    def command(self, id: str, *raws: bytes) -> bytes:
        """Return the bytes of the command for this canonical id and these values."""
        return self._stencil((self._stem + id if id.isalnum() else self._key(id)).encode(), *raws)


class PreparedRead(Prepared):
    """The read of one field.

    Attributes:
        decode: the reply to a value, where it is bytes; what it raises, `_objects.read` says in our own errors.
    """

    __slots__ = ("decode", "name")

    def __init__(self, space: Space, name: str) -> None:
        super().__init__(space, _objects.fetch(space, ID, name))
        self.name = name
        self.decode = space.schema.fields[name].codec.load


class PreparedWhole:
    """What reads and writes whole objects, but for an id and a value.

    Attributes:
        getting: None where it takes a flow to read one.
        inserting, replacing: of a row that `dump` gives.
    """

    __slots__ = ("_rows", "getting", "inserting", "replacing")

    def __init__(self, space: Space) -> None:
        self._rows = space.schema.rows
        wide = self._rows.may_lack or _objects.is_wide(space)
        self.getting = None if wide else Prepared(space, _objects.get(space, ID))
        raws = [RAW] * len(space.schema.fields)
        self.inserting, self.replacing = (
            Prepared(space, _objects.store(space, ID, raws, script)) for script in (_scripts.insert, _scripts.replace)
        )

    def load(self, id: str, reply: Any) -> BaseModel | None:
        """Return a snapshot; None where it takes the flow to tell what the reply says."""
        values = self._rows.load(id, reply) if type(reply) is list else None  # pyright: ignore[reportUnknownArgumentType]
        return None if values is None else self._rows.snapshot(values)

    def dump(self, value: BaseModel) -> Sequence[bytes] | None:
        """Return the bytes of an instance's fields; None where it takes the flow to tell them, or what is wrong."""
        return None if self._rows.may_lack else cast("Sequence[bytes] | None", self._rows.dump(value))


def prepared(space: Space, name: str) -> PreparedRead:
    """Return the prepared read of a field; the work is done once for each space."""
    found = space.prepared.get(name)
    if found is None:
        found = space.prepared[name] = PreparedRead(space, name)
    return found
