"""Results as one JSON file, and as the blocks of a Markdown page that are made from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ._figures import wanted
from ._peers import ASYNC, SYNC, Peer
from ._rounds import Row

_PAGE, _JSON = "speed.md", "figures/results.json"


class Results(NamedTuple):
    """All that was measured on one machine."""

    machine: dict[str, str]
    rows: list[Row]
    peers: list[Peer]

    @property
    def servers(self) -> dict[str, str]:
        """The servers' names in the rows, and as they are shown."""
        names = dict.fromkeys([*(row.server for row in self.rows), *(peer.server for peer in self.peers)])
        return {name: f"{name.title()} {self.machine[f'{name} server']}" for name in names}

    def save(self, folder: Path) -> None:
        """Write the JSON file."""
        path = folder / _JSON
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, peers = ([each._asdict() for each in every] for every in (self.rows, self.peers))
        path.write_text(json.dumps({"machine": self.machine, "rows": rows, "peers": peers}, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Results | None:
        """Read it; None if there is none."""
        path = folder / _JSON
        if not path.exists():
            return None
        read = json.loads(path.read_text())
        return cls(read["machine"], [Row(**row) for row in read["rows"]], [Peer(**peer) for peer in read["peers"]])


def write(results: Results, folder: Path) -> Path:
    """Put the blocks into the folder's page, where its marks are; a page that is not there has nothing but blocks."""
    path = folder / _PAGE
    marks = "\n\n".join(f"<!-- {name} -->\n<!-- /{name} -->" for name in BLOCKS)
    path.write_text(filled(path.read_text() if path.exists() else f"# Speed\n\n{marks}\n", results))
    return path


def filled(page: str, results: Results) -> str:
    """Return a page with its blocks made anew."""
    for name, make in BLOCKS.items():
        block = f"<!-- {name} -->\n\n{make(results)}\n\n<!-- /{name} -->"
        above, found, rest = page.partition(f"<!-- {name} -->")
        if found:
            page = above + block + rest.partition(f"<!-- /{name} -->")[2]
    return page


def _machine(results: Results) -> str:
    return _table(["measured on", ""], results.machine.items())


def _tables(results: Results) -> str:
    modules = {name: list(rows) for name, rows in groupby(results.rows, key=lambda row: row.module)}
    heads = ["", "against", *results.servers.values(), "bare socket", "target", "stretch"]
    return "\n\n".join(
        f"**{_title(name)}**\n\n{_table(heads, _lines(rows, list(results.servers)))}" for name, rows in modules.items()
    )


def _title(module: str) -> str:
    """Return what a module says of itself in its first line."""
    return str(import_module(f"benchmarks.{module}").__doc__).partition("\n")[0].rstrip(".")


def _lines(rows: list[Row], servers: list[str]) -> Iterator[list[str]]:
    for title in dict.fromkeys(row.title for row in rows):
        found = {row.server: row for row in rows if row.title == title}
        each = list(found.values())
        against = f"{each[0].baseline}, " + _joined(_time(row.theirs) for row in each) if each[0].baseline else ""
        yield [
            title,
            against,
            *(_cell(found[server]) if server in found else "" for server in servers),
            _joined(f"{row.floor:.2f}" for row in each if row.floor is not None),
            _joined(f"{row.target:g}" for row in each if row.target is not None),
            _joined(f"{row.stretch:g}" for row in each if row.stretch is not None),
        ]


def _cell(row: Row) -> str:
    """Show a value; what reaches its target is bold."""
    value = f"{row.value:.2f}" if row.unit == "x" else f"{row.value:,.0f} {row.unit}"
    shown = f"**{value}**" if row.target is not None and row.value <= row.target else value
    return f"{shown} ±{row.spread:.2f}" if row.spread is not None else shown


def _peers(results: Results) -> str:
    if not results.peers:
        return "Not measured: `python -m benchmarks --only peers` does."
    tables = {"**Against redis-py**": SYNC, "**One field, by many tasks, against `redis.asyncio` with as many**": ASYNC}
    return "\n\n".join(f"{title}\n\n{_of_peers(names, results)}" for title, names in tables.items())


def _of_peers(names: Iterable[str], results: Results) -> str:
    found = {name: [peer for peer in results.peers if peer.name == name] for name in names}
    operations = dict.fromkeys(each for peers in found.values() for peer in peers for each in peer.ratios)

    def line(name: str, peers: list[Peer]) -> list[str]:
        if not any(peer.ratios for peer in peers):
            return [name, _joined(peer.reason for peer in peers), *[""] * (len(operations))]
        versions = _joined(peer.versions for peer in peers)
        ratios = (
            " / ".join(f"{peer.ratios[each]:.2f}" for peer in peers if each in peer.ratios) for each in operations
        )
        return [name, versions, *(each or "-" for each in ratios)]

    lines = [line(name, peers) for name, peers in found.items() if peers]
    return _table([" / ".join(results.servers.values()), "", *operations], lines)


def _figures(results: Results) -> str:
    def alternative(module: str, axis: str) -> str:
        return f"{_title(module)}, by the number of {axis}" if axis else _title(module)

    each = (f"![{alternative(figure.module, figure.axis)}]({figure.path})" for figure in wanted(results.rows))
    return "\n\n".join(each)


BLOCKS = {"machine": _machine, "figures": _figures, "tables": _tables, "peers": _peers}


def _table(heads: list[str], lines: Iterable[Iterable[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows)


def _joined(parts: Iterable[str]) -> str:
    """Join what the servers say, once if they agree."""
    return " / ".join(dict.fromkeys(parts))


def _time(microseconds: float | None) -> str:
    """Spell a time with two digits or three."""
    value = microseconds or 0.0
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} µs"
