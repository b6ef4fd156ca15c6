"""What `distobjects watch` shows: what changes in a store, as it is stored, without any model. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from . import connect

_LONGEST = 60


class Seen(NamedTuple):
    """A change of a hash.

    Attributes:
        fields: what each one held before, and holds now; None where it was or is not there.
    """

    time: str
    key: str
    event: str
    fields: dict[str, tuple[str | None, str | None]]

    def facts(self) -> dict[str, Any]:
        """Return it for JSON."""
        return self._asdict()

    def line(self) -> str:
        """Return it for people."""
        shown = ", ".join(f"{_shown(name)} {self._step(*values)}" for name, values in sorted(self.fields.items()))
        return f"{self.time[11:]} {_shown(self.key)} {self.event} {shown}".rstrip()

    def _step(self, before: str | None, after: str | None) -> str:
        if self.event == "deleted":
            return f"was {_shown(before)}"
        return f"= {_shown(after)}" if before is None else f"{_shown(before)} -> {_shown(after)}"


def spectate(url: str, what: str | None, begun: Callable[[], None]) -> Iterator[Seen]:
    """Yield what changes.

    Args:
        what: a space, a key, or what keys begin with if it ends with a colon; None for all.
        begun: is called when nothing that changes is missed any more.

    Raises:
        StoreUnavailable: the server cannot be reached.
    """
    what = what or ""
    single = ":" in what and not what.endswith(":")
    prefix = what if single or not what or what.endswith(":") else f"{what}:"
    with connect(url) as db:
        for key, fields, before, after, _ in db._raw_differences(prefix, single=single, begun=begun):
            event = "created" if before is None else "deleted" if after is None else "changed"
            old, new = before or {}, after or {}
            now = datetime.now().isoformat(timespec="milliseconds")
            yield Seen(now, key, event, {name: (_text(old.get(name)), _text(new.get(name))) for name in fields})


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="backslashreplace")


def _shown(text: str | None) -> str:
    """Return a text for a terminal, which is to obey none of it."""
    if text is None:
        return "nothing"
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return text if text.isprintable() and text and " " not in text else ascii(text)
