"""The Lua scripts: what must be atomic and is no single command. Each file of `lua/` documents its own contract."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from ._flow import Argument, Ask, Command, Flow, NoScript, Series


class Script:
    """A script of `lua/`, called by its SHA-1."""

    def __init__(self, name: str) -> None:
        self.source = (resources.files("distobjects") / "lua" / f"{name}.lua").read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()

    def __call__(self, key: str, *args: Argument) -> Flow[Any]:
        """Run it on one key. One round trip: `EVALSHA`; one more, `EVAL`, where the server does not know it yet."""
        return self.on([key], *args)

    def on(self, keys: Sequence[str], *args: Argument) -> Flow[Any]:
        """Run it on several keys, which a Cluster must have in one slot."""
        return self._run((Command(("EVALSHA", self.sha, len(keys), *keys, *args)),))

    def fill(self, key: str, names: tuple[str, ...], row: Sequence[bytes]) -> Flow[Any]:
        """Run it on one key and all fields of a model, with their bytes: the names are packed once and for all."""
        return self._run(Series(("EVALSHA", self.sha, 1), (key,), names, rows=(row,)))

    def _run(self, called: Sequence[Command]) -> Flow[Any]:
        [reply] = yield Ask(called, "script")
        if isinstance(reply, NoScript):
            [reply] = yield Ask((Command(("EVAL", self.source, *called[0].args[2:])),), "script")
        if isinstance(reply, Exception):
            raise reply
        return reply


insert = Script("insert")
replace = Script("replace")
store_many = Script("store_many")
write = Script("write")
commit = Script("commit")
increment = Script("increment")
append = Script("append")
transact = Script("transact")
