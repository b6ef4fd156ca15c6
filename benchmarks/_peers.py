"""What the field takes for the same work, each in a virtual environment of its own, against the redis-py in there."""

from __future__ import annotations

from typing import NamedTuple

OPERATIONS = ("read", "write")


class Peer(NamedTuple):
    """One library on one server: its ratios to redis-py by operation, or why there are none."""

    name: str
    version: str
    server: str
    ratios: dict[str, float]
    reason: str = ""
