"""Where a model's objects live: the one place that knows how keys and ids are spelled. Never talks to Redis.

    key      = prefix space ":" id          "app:Student:7"
    sub-key  = "{" key "}~" name            shares the object's slot
               prefix "~" name ":" space ":" id     where the prefix holds a {tag}

In the id, `%`, `{`, `}` and control characters are percent-encoded (UTF-8, upper-case hex), so that an id can
neither move an object to another Cluster slot nor collide with a sub-key.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from .errors import InvalidModel

if TYPE_CHECKING:
    from ._schema import Schema

_RESERVED = re.compile(r"[%{}\x00-\x1f\x7f]")
_GLOB = re.compile(r"[\\*?\[\]^]")
_NAME = re.compile(r"(?!~)[^:{}*?\[\]\\^\x00-\x1f\x7f\ud800-\udfff]+")  # `~` begins the name of a sub-key
_TAG = re.compile(r"[^{}]*(\{[^{}]+\})?[^{}]*")

# Hexadecimal digits whose highest two bits say that it is a UUID of RFC 9562.
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))

Id = str | int | UUID


def canonical(id: object) -> str:
    """Return the text form of an id; refuse what is no id.

    Raises:
        TypeError: it is neither text, nor an int, nor a UUID.
        ValueError: it is empty, or no valid Unicode.
    """
    if isinstance(id, bool) or not isinstance(id, (str, int, UUID)):
        raise TypeError(f"an id is text, an int or a UUID, not {type(id).__name__} {id!r}")
    text = str.__str__(id) if isinstance(id, str) else int.__repr__(id) if isinstance(id, int) else str(id)
    if not text:
        raise ValueError("an id must not be empty")
    if not text.isascii():
        _refuse_surrogates("id", text)
    return text


def is_plain(id: str) -> bool:
    """Say whether an id stands in a key as it is, one byte for each character."""
    return id.isascii() and (id.isalnum() or not _RESERVED.search(id))


def _refuse_surrogates(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} {text!r} holds a lone surrogate, which has no UTF-8 form") from error


def new_id() -> str:
    """Return a fresh id: a UUIDv7 (RFC 9562, section 5.7), which sorts by its time of creation (milliseconds)."""
    stamp, random = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10).hex()
    return f"{stamp[:8]}-{stamp[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:19]}"


def glob_escaped(text: str) -> str:
    """Return the glob pattern that only this text fits."""
    return _GLOB.sub(r"\\\g<0>", text)


@dataclass
class Dialect:
    """What a backend has found out about its server, which is assumed to understand all until it refuses."""

    sharded: bool = False  # a Cluster, where a script has no keys of several slots
    hsetex: bool = True
    sha1hex: bool = True  # fakeredis has none in its Lua
    turns: bool = True  # the user may have no right to SET
    contended: str | None = None  # the key of the object whose writers had to take turns last


@dataclass(frozen=True, slots=True)
class Space:
    """Where the objects of one model live."""

    prefix: str
    name: str
    schema: Schema
    dialect: Dialect = field(default_factory=Dialect)
    prepared: dict[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)
    """By field, what `_prepared` keeps here."""

    @property
    def stem(self) -> str:
        """What every key of the space begins with."""
        return f"{self.prefix}{self.name}:"

    @property
    def pattern(self) -> str:
        """The glob pattern for SCAN."""
        return glob_escaped(self.stem) + "*"

    def key(self, id: str) -> str:
        """Return the key of the object with this canonical id."""
        if _RESERVED.search(id):
            id = _RESERVED.sub(lambda found: f"%{ord(found[0]):02X}", id)
        return f"{self.prefix}{self.name}:{id}"

    def keys(self, ids: Sequence[str]) -> list[str]:
        """Return the keys of many objects, as `key` does."""
        # One look at all of them costs a tenth of a look at each.
        together, stem = "".join(ids), self.stem
        if together.isascii() and together.isprintable() and not any(each in together for each in "%{}"):
            return [stem + id for id in ids]
        return [self.key(id) for id in ids]

    def sub_key(self, name: str, id: str) -> str:
        """Return a key beside the object's, in its slot, that no object can have."""
        if "{" in self.prefix:
            return f"{self.prefix}~{name}:{self.key(id)[len(self.prefix) :]}"
        return f"{{{self.key(id)}}}~{name}"

    def id(self, key: bytes | str) -> str | None:
        """Return the id whose key this is; None where it is no key of an object of this space."""
        try:
            text = key if isinstance(key, str) else key.decode()
            if not text.startswith(stem := self.stem):
                return None
            id = text[len(stem) :]
            if not is_plain(id):
                id = unquote_to_bytes(id).decode()
                if self.key(id) != text:
                    return None
        except UnicodeError:
            return None
        return id if id and not self.schema.misspells(id) else None


class Spaces:
    """The spaces of one backend: one prefix, one dialect, and no two models under one name."""

    def __init__(self, prefix: str, *, sharded: bool = False) -> None:
        if not _TAG.fullmatch(prefix):
            raise ValueError(f"prefix {prefix!r} may hold one {{tag}} and no other brace")
        _refuse_surrogates("prefix", prefix)
        self.prefix = prefix
        self._dialect = Dialect(sharded)
        self._open: dict[str, Space] = {}

    def open(self, schema: Schema, name: str | None) -> Space:
        """Return the space of this name, by default the model's.

        Raises:
            InvalidModel: the name is no name for a space, or another model has it.
        """
        name = schema.name if name is None else name
        if not _NAME.fullmatch(name):
            reason = f"{name!r} is no name for a space (no ':', braces, glob or control characters); pass name="
            raise InvalidModel(model=schema.name, reason=reason)
        space = self._open.get(name)
        if space is not None and space.schema is schema:
            return space
        if space is not None and _place(space.schema) != _place(schema):
            reason = f"{_place(space.schema)} is stored as {name!r} here already; pass name="
            raise InvalidModel(model=schema.name, reason=reason)
        space = self._open[name] = Space(self.prefix, name, schema, self._dialect)
        return space


def _place(schema: Schema) -> str:
    """Where a model is defined; a notebook cell or a reload defines it there again."""
    return f"{schema.model.__module__}.{schema.model.__qualname__}"
