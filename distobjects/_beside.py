"""A connection beside the client's pool, of either colour, and what its failures mean. No I/O."""

from __future__ import annotations

from typing import Any

from ._redis import failures, lone_connection, where
from ._resp import ResponseError
from ._translation import Translated


class Beside:
    """Has a connection like those of the client's pool, which nobody else has; not opened yet."""

    def __init__(self, client: Any) -> None:
        self._where = where(client)
        self._connection = lone_connection(client)
        self._failures: tuple[type[Exception], ...] = (*failures(client), ResponseError)
        self._translated = Translated(self._failures, self._where)
