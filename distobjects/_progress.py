"""A line on the terminal that tells how far an operation on many objects has come."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TextIO

_EVERY_SECONDS = 0.1


class Progress:
    """Writes how much is done, at most ten times a second; `progress` makes one."""

    def __init__(self, label: str, file: TextIO | None) -> None:
        self._label = f"{label}: " if label else ""
        self._file = file
        self._next = 0.0

    def __call__(self, done: int, total: int | None) -> None:
        """Write the line anew, and end it when all is done. What is no terminal gets the last one alone."""
        file, now, ended = self._file or sys.stderr, monotonic(), done == total
        terminal = file.isatty()
        if not ended and (now < self._next or not terminal):
            return
        self._next = now + _EVERY_SECONDS
        told = f"{done:,}" if total is None else f"{done:,} of {total:,} ({done / total:.0%})"
        file.write("\r" * terminal + self._label + told + "\n" * ended)
        file.flush()


def progress(label: str = "", *, file: TextIO | None = None) -> Progress:
    """Return an `on_progress` that keeps one line of the terminal up to date.

    Args:
        label: begins the line.
        file: where to write; by default `sys.stderr`.

    Examples:
        >>> import sys
        >>> from distobjects import connect, progress
        >>> from pydantic import BaseModel
        >>> class Point(BaseModel):
        ...     x: int = 0
        >>> points = connect("memory://").objects(Point)
        >>> values = {n: Point(x=n) for n in range(3000)}
        >>> _ = points.put_many(values, on_progress=progress("points", file=sys.stdout))
        points: 3,000 of 3,000 (100%)
    """
    return Progress(label, file)
