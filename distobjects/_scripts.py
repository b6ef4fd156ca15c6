"""The Lua scripts: what must be atomic and is no single command. Each file of `lua/` documents its own contract."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from ._flow import Argument, Ask, Command, Flow, NoScript


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
        [reply] = yield Ask((Command(("EVALSHA", self.sha, len(keys), *keys, *args)),), "script")
        if isinstance(reply, NoScript):
            [reply] = yield Ask((Command(("EVAL", self.source, len(keys), *keys, *args)),), "script")
        if isinstance(reply, Exception):
            raise reply
        return reply


insert = Script("insert")
replace = Script("replace")
write = Script("write")
commit = Script("commit")
increment = Script("increment")
append = Script("append")
transact = Script("transact")
