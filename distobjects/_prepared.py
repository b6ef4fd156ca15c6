"""Commands packed before there is an id to put in: what a flow asks first, but for the key and for values' bytes.

For the hot paths of both colours: building a command from its arguments takes longer than the rest of a short flow.
"""

from __future__ import annotations

from typing import Any

from . import _objects
from ._flow import Argument, Ask, Flow, advance
from ._space import Space
from ._wire import stencil

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
        gaps: tuple[Argument, ...] = space.key(ID), RAW
        self._stencil = stencil([None if each in gaps else each for each in command.args])
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


def prepared(space: Space, name: str) -> PreparedRead:
    """Return the prepared read of a field; the work is done once for each space."""
    found = space.prepared.get(name)
    if found is None:
        found = space.prepared[name] = PreparedRead(space, name)
    return found
