"""The Lua scripts: what must be atomic and is no single command. Each file of `lua/` documents its own contract."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from ._flow import Argument, Command, Flow, NoScript, ask


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
        try:
            [reply] = yield from ask(Command(("EVALSHA", self.sha, len(keys), *keys, *args)), label="script")
        except NoScript:
            [reply] = yield from ask(Command(("EVAL", self.source, len(keys), *keys, *args)), label="script")
        return reply


insert = Script("insert")
replace = Script("replace")
write = Script("write")
commit = Script("commit")
increment = Script("increment")
append = Script("append")
transact = Script("transact")
