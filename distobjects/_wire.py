"""What the links of both colours share: commands to bytes, and what clients reply to plain replies. No I/O."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ._flow import Argument, Command, Series
from ._translation import names_of, reply_error
from ._unrolled import fill
from .errors import DistObjectsError

# What stands before an argument, by its length in bytes; behind the last one, a line ends.
_HEADS = [b"\r\n$%d\r\n" % length for length in range(1024)]
_END = b"\r\n"
# So many arguments at most are packed faster one by one.
_FEW = 15


def packed(commands: Sequence[Command]) -> bytes:
    """Return the bytes of commands, as one piece to send."""
    if isinstance(commands, Series):
        return _packed_series(commands)
    parts: list[bytes] = []
    for args, _ in commands:
        parts.append(b"*%d" % len(args))
        if len(args) > _FEW:
            parts += _headed([each if type(each) is bytes else _raw(each) for each in args])
        else:
            for argument in args:
                raw = argument.encode() if type(argument) is str else _raw(argument)
                parts.append(b"\r\n$%d\r\n%b" % (len(raw), raw))
        parts.append(_END)
    return b"".join(parts)


def _headed(raws: Sequence[bytes]) -> list[bytes]:
    """Return arguments, each behind its head."""
    try:
        heads = [*map(_HEADS.__getitem__, map(len, raws))]
    except IndexError:
        heads = [b"\r\n$%d\r\n" % len(raw) for raw in raws]
    parts = [*raws, *raws]
    parts[::2], parts[1::2] = heads, raws
    return parts


def stencil(arguments: Sequence[Argument | None]) -> Callable[..., bytes]:
    """Return a command, packed but for its gaps: a function of the bytes that fill them, one for each None."""
    return _filling(_pieces(arguments))


def _filling(pieces: Sequence[bytes]) -> Callable[..., bytes]:
    def otherwise(raws: Sequence[bytes]) -> bytes:
        parts, headed = [b""] * (3 * len(raws) + 1), _headed(raws)
        parts[::3], parts[1::3], parts[2::3] = pieces, headed[::2], headed[1::2]
        return b"".join(parts)

    return fill(pieces, _HEADS, otherwise)


def _pieces(arguments: Sequence[Argument | None]) -> list[bytes]:
    """Return the bytes of a command that are before, between and after its gaps."""
    pieces = [b"*%d" % len(arguments)]
    for argument in arguments:
        if argument is None:
            pieces.append(b"")
        else:
            pieces[-1] += b"".join(_headed([_raw(argument)]))
    pieces[-1] += _END
    return pieces


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


def is_sharded(client: Any) -> bool:
    """Say whether a client spreads keys over slots, of which a script needs one."""
    return hasattr(client, "keyslot")


def refuse_slots(client: Any, keys: Sequence[str]) -> None:
    """Refuse keys that a cluster has in different slots, before anything is sent.

    Raises:
        ValueError: no script can run on all of them.
    """
    if is_sharded(client) and len({client.keyslot(key) for key in keys}) > 1:
        raise ValueError(
            f"a transaction on a Cluster needs all of its objects in one slot, and {keys[0]!r} and {keys[-1]!r} are in "
            "two; give the backend a prefix with a {tag}, which keeps it in one slot"
        )


def _packed_series(series: Series) -> bytes:
    """Return the same bytes as of each command for itself, packed once."""
    filled, pieces = _stencil_of(series.before, series.after, series.rows is not None)
    keys = series.keys
    if series.rows is not None:
        return b"".join(map(filled, map(str.encode, keys), *zip(*series.rows, strict=True)))
    if len(keys) > 1 and {*map(len, keys)} == {length := len(keys[0])} and length < len(_HEADS):
        first, last = pieces[0] + _HEADS[length], pieces[1]
        text = (last + first).decode().join(keys)
        if text.isascii():  # so they are of one length in bytes, too: numbers, or UUIDs
            return first + text.encode() + last
    return b"".join(map(filled, map(str.encode, keys)))


@functools.lru_cache(maxsize=256)
def _stencil_of(
    before: tuple[Argument, ...], after: tuple[Argument, ...], has_rows: bool, /
) -> tuple[Callable[..., bytes], list[bytes]]:
    arguments = (*before, None, *(part for each in after for part in ((each, None) if has_rows else (each,))))
    pieces = _pieces(arguments)
    return _filling(pieces), pieces
