"""When a round trip that brought no reply may be tried again. Pure: both runners ask here.

1. What is repeatable (it only reads), or never left, is tried again: `_DELAYS` times, not after `_LATEST_SECONDS`.
2. What left and is not repeatable is never sent twice: it may have been done. That is `OutcomeUnknown`.
3. A time-out is not tried again: whoever set it does not want to wait twice as long.
4. redis-py's own retries, which know neither rule, stay off.
"""

from __future__ import annotations

from ._flow import Ask
from .errors import DistObjectsError, OutcomeUnknown

# Seconds before each new attempt: at once for a connection that died idle, then time for a server to restart.
_DELAYS = (0.0, 0.05, 0.25)
_LATEST_SECONDS = 0.9


class Lost(Exception):
    """A round trip without replies.

    Attributes:
        sent: a byte may have reached the server.
        slow: it ended in a time-out.
        seconds: how long it took.
    """

    seconds = 0.0

    def __init__(self, error: DistObjectsError, *, sent: bool, slow: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.sent = sent
        self.slow = slow


def delay(lost: Lost, ask: Ask, attempt: int, elapsed: float) -> float:
    """Return how many seconds to wait before the ask may be sent again.

    Args:
        attempt: how many times it has failed before.
        elapsed: seconds since it was first sent.

    Raises:
        OutcomeUnknown: it is no read, and may have been done.
        DistObjectsError: what the round trip failed with, when it is not worth another.
    """
    if lost.sent and not ask.repeatable:
        names = ", ".join(dict.fromkeys(str(command.args[0]) for command in ask.commands))
        message = f"the reply to {names} was lost: it was done once or not at all; read to see, then decide"
        raise OutcomeUnknown(f"{message} ({lost.error})") from lost.__cause__
    if lost.slow or attempt >= len(_DELAYS) or elapsed > _LATEST_SECONDS:
        raise lost.error from lost.__cause__
    return _DELAYS[attempt]
