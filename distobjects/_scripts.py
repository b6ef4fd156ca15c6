"""The Lua scripts: what must be atomic and is no single command. Each file of `lua/` documents its own contract."""

from __future__ import annotations

import hashlib
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
        try:
            [reply] = yield from ask(Command(("EVALSHA", self.sha, 1, key, *args)))
        except NoScript:
            [reply] = yield from ask(Command(("EVAL", self.source, 1, key, *args)))
        return reply


insert = Script("insert")
replace = Script("replace")
write = Script("write")
commit = Script("commit")
