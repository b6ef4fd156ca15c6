"""Loops over a fixed number of items, written out: they cost half as much. Decides nothing.

The code is made of how many items there are and of nothing else: no name and no value of a user's is ever part of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

# What is between < and > stands once for each item, with its number in place of #.
_CALL_EACH = """
def make(names, functions):
    (<name#, >) = names
    (<function#, >) = functions
    return lambda values: [<function#(values[name#]), >]
"""
_NAME_EACH = """
def make(names, functions):
    (<name#, >) = names
    (<function#, >) = functions
    def named(items):
        (<item#, >) = items
        return {<name#: function#(item#), >}
    return named
"""
_NAME_ALL = """
def make(names):
    (<name#, >) = names
    return lambda rows: [{<name#: item#, >} for (<item#, >) in rows]
"""
_FILL = """
def make(pieces, heads, join, otherwise):
    (<piece#, >last) = pieces
    def filled(<item#, >):
        try:
            return join((<piece#, heads[len(item#)], item#, >last))
        except IndexError:
            return otherwise((<item#, >))
    return filled
"""


@functools.cache
def _made(source: str, size: int) -> Any:
    scope: dict[str, Any] = {}
    written_out = re.sub("<(.*?)>", lambda each: "".join(each[1].replace("#", str(n)) for n in range(size)), source)
    exec(written_out, scope)
    return scope["make"]


def call_each(names: Sequence[str], functions: Sequence[Callable[[Any], Any]]) -> Callable[[Mapping[str, Any]], Any]:
    """Return what calls each function with the value of its name, and lists what they return."""
    return _made(_CALL_EACH, len(names))(names, functions)  # type: ignore[no-any-return]


def name_each(
    names: Sequence[str], functions: Sequence[Callable[[Any], Any]]
) -> Callable[[Iterable[Any]], dict[str, Any]]:
    """Return what calls each function with an item, and gives by name what they return."""
    return _made(_NAME_EACH, len(names))(names, functions)  # type: ignore[no-any-return]


def name_all(names: Sequence[str]) -> Callable[[Iterable[Iterable[Any]]], list[dict[str, Any]]]:
    """Return what gives the items of each row by their names."""
    return _made(_NAME_ALL, len(names))(names)  # type: ignore[no-any-return]


def fill(
    pieces: Sequence[bytes], heads: Sequence[bytes], otherwise: Callable[[Sequence[bytes]], bytes]
) -> Callable[..., bytes]:
    """Return what joins bytes: between two of the pieces each argument, behind the head for its length.

    Where one is longer than there are heads, `otherwise` does all of it.
    """
    return _made(_FILL, len(pieces) - 1)(pieces, heads, b"".join, otherwise)  # type: ignore[no-any-return]
