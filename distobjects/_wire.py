"""What the links of both colours share: commands to bytes, and what clients reply to plain replies. No I/O."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ._flow import Argument, Command, Series
from ._translation import names_of, reply_error
from .errors import DistObjectsError


def packed(commands: Sequence[Command]) -> bytes:
    """Return the bytes of commands, as one piece to send."""
    if isinstance(commands, Series):
        return _packed_series(commands)
    parts: list[bytes] = []
    for args, _ in commands:
        parts.append(b"*%d\r\n" % len(args))
        for argument in args:
            raw = argument.encode() if type(argument) is str else _raw(argument)
            parts.append(b"$%d\r\n%b\r\n" % (len(raw), raw))
    return b"".join(parts)


def stencil(arguments: Sequence[Argument | None]) -> bytes:
    """Return a packed command as a pattern for `filled`, which has a gap for each None among the arguments."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        raw = b"" if argument is None else _raw(argument)
        parts.append(_GAP if argument is None else (_GAP % (len(raw), raw)).replace(b"%", b"%%"))
    return b"".join(parts)


# Where a stencil takes an argument: its length, and itself.
_GAP = b"$%d\r\n%b\r\n"


def filled(pattern: bytes, arguments: Sequence[bytes]) -> bytes:
    """Return the bytes of the command that has these arguments in the gaps of a stencil.

    A tenth of the cost of `packed`: 1 us for a script that writes ten fields.
    """
    parts: list[Any] = [*arguments, *arguments]
    parts[::2], parts[1::2] = map(len, arguments), arguments
    return pattern % tuple(parts)


def plain(command: Command) -> tuple[Argument, ...]:
    """Return the arguments as bytes: a client packs text in an encoding of its own. It looks names up, as text."""
    name, *others = command.args
    return name, *map(_raw, others)


def _raw(argument: Argument) -> bytes:
    if isinstance(argument, bytes):
        return argument
    return argument.encode() if isinstance(argument, str) else b"%d" % argument


def as_replies(replies: list[Any], where: str) -> list[Any]:
    """Translate the error replies among others; raise where one says that the connection failed."""
    for reply in replies:
        if isinstance(reply, Exception):
            return [_translated(each, where) for each in replies]
    return replies


def _translated(reply: Any, where: str) -> Any:
    if not isinstance(reply, Exception):
        return reply
    translated = reply_error(reply, where)
    if translated is None:
        raise reply
    return translated


def key_of(command: Command) -> Argument:
    """Return the key by which a cluster routes a command."""
    return command.args[3 if command.args[0] in ("EVAL", "EVALSHA") else 1]


def keys_of(commands: Sequence[Command]) -> set[bytes]:
    """Return the keys that commands name."""
    return {_raw(key) for command in commands for key in _keys(command.args)}


def _keys(args: tuple[Argument, ...]) -> tuple[Argument, ...]:
    return args[3 : 3 + int(args[2])] if args[0] in ("EVAL", "EVALSHA") else args[1:2]


def is_redirection(reply: Any) -> bool:
    """Say whether a node of a cluster did nothing because another one has the key, or is about to have it."""
    cause = reply.__cause__ if isinstance(reply, DistObjectsError) else None
    return cause is not None and not names_of(cause).isdisjoint(("AskError", "TryAgainError"))  # a MovedError is an Ask


def divided(command: Command, nodes: int) -> tuple[int, int]:
    """Split the cursor of a cluster-wide SCAN into a node's own cursor and the node's place."""
    return divmod(int(command.args[1]), nodes)


def joined(reply: Any, node: int, nodes: int) -> list[Any]:
    """Return a node's SCAN reply with a cluster-wide cursor: 0 only behind the last node."""
    cursor, keys = reply
    if isinstance(cursor, Mapping):  # redis-py's cluster clients name the node
        [cursor] = cast(Mapping[str, Any], cursor).values()
    cursor = int(cursor)
    if cursor:
        return [cursor * nodes + node, keys]
    return [node + 1 if node + 1 < nodes else 0, keys]


def refuse_slots(client: Any, keys: Sequence[str]) -> None:
    """Refuse keys that a cluster has in different slots, before anything is sent.

    Raises:
        ValueError: no script can run on all of them.
    """
    if hasattr(client, "keyslot") and len({client.keyslot(key) for key in keys}) > 1:
        raise ValueError(
            f"a transaction on a Cluster needs all of its objects in one slot, and {keys[0]!r} and {keys[-1]!r} are in "
            "two; give the backend a prefix with a {tag}, which keeps it in one slot"
        )


def _packed_series(series: Series) -> bytes:
    """Return the same bytes as of each command for itself, out of one stencil."""
    pattern = _stencil(series.before, series.after, filled=series.rows is not None)
    keys = [key.encode() for key in series.keys]
    if len(keys) == 1:  # one whole object
        return filled(pattern, keys if series.rows is None else (*keys, *series.rows[0]))
    columns: list[Sequence[bytes]] = [keys, *zip(*series.rows or (), strict=True)]
    values = zip(*(each for column in columns for each in (map(len, column), column)), strict=True)
    return b"".join(map(pattern.__mod__, values))


@functools.lru_cache(maxsize=256)
def _stencil(before: tuple[Argument, ...], after: tuple[Argument, ...], *, filled: bool) -> bytes:
    return stencil((*before, None, *(part for each in after for part in ((each, None) if filled else (each,)))))
