"""What the README, the pages and the docstrings say is run, and everything public is said somewhere."""

from __future__ import annotations

import argparse
import doctest
import inspect
import itertools
import re
import shlex
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import create_model
from sybil import Document, Example, Region
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.abstract import DocTestStringParser
from sybil.parsers.markdown import CodeBlockParser

import distobjects
from distobjects import AccessDenied, DistObjectsError, InvalidModel, RedisBackend, _scripts, cli, connect, fields
from tests.fix_servers import Server, recorder

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
MODULES = sorted(path for path in ROOT.glob("distobjects/*.py") if path.name != "__main__.py")  # importing that runs it
PUBLIC = {name: getattr(distobjects, name) for name in distobjects.__all__}
ERRORS = {name: each for name, each in PUBLIC.items() if isinstance(each, type) and issubclass(each, Exception)}

# ---- running a page


def _sessions(document: Document) -> Iterable[Region]:
    """Find what is typed into a Python prompt, and what it shows."""
    parse = DocTestStringParser(DocTestEvaluator(doctest.ELLIPSIS))
    for block in CodeBlockParser("pycon", lambda example: None)(document):
        for region in parse(block.parsed, document.path):
            region.adjust(block, block.parsed)
            yield region


def _typed_into_redis_cli(server: Server) -> Callable[[Document], Iterable[Region]]:
    """Find what is typed into redis-cli, and compare what it shows; other text is only text."""
    prompt = re.compile(r"^127\.0\.0\.1:6379> (.*)\n((?:(?!127\.0\.0\.1).*\n?)*)", re.MULTILINE)

    def evaluate(example: Example) -> str | None:
        text = str(example.parsed)
        if not text.startswith("127.0.0.1:6379> "):
            return None
        with server.client(protocol=2) as client:
            client.response_callbacks.clear()  # replies as the server sends them
            for typed, wanted in prompt.findall(text):
                shown = "\n".join(_shown(client.execute_command(*shlex.split(typed))))
                if shown != wanted.strip("\n"):
                    return f"{typed}\nExpected:\n{wanted}Got:\n{shown}"
        return None

    return CodeBlockParser("text", evaluate)


def _shown(reply: Any) -> list[str]:
    """Spell a reply as redis-cli does."""
    if isinstance(reply, list):
        width = len(str(len(reply)))
        return [f"{at:>{width}}) {_shown(each)[0]}" for at, each in enumerate(reply, 1)] or ["(empty array)"]
    if isinstance(reply, bytes):
        # a reply in one word, such as OK, comes as bytes too
        return ['"' + "".join(_spelled(byte) for byte in reply) + '"']
    return ["(nil)"] if reply is None else [f"(integer) {reply}"]


def _spelled(byte: int) -> str:
    named = {10: r"\n", 13: r"\r", 9: r"\t", 7: r"\a", 8: r"\b", 34: r"\"", 92: r"\\"}
    return named.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")


class Page:
    """One page, on a throw-away server in the place of the one that its examples name."""

    def __init__(self, path: Path, server: Server) -> None:
        self.text = (
            path.read_text()
            .replace("redis://localhost:6379/0", server.url)
            .replace('host="localhost", port=6379', f'host="127.0.0.1", port={server.port}')
        )
        self.document = Document(self.text, str(path))
        self.module = types.ModuleType("page")  # so that its classes can be pickled
        self.document.namespace = vars(self.module)
        python = CodeBlockParser("python", PythonEvaluator())
        regions = [
            each for parser in (python, _sessions, _typed_into_redis_cli(server)) for each in parser(self.document)
        ]
        for region in sorted(regions, key=lambda each: each.start):
            self.document.add(region)

    @contextmanager
    def ran(self, end: int | None = None) -> Iterator[dict[str, Any]]:
        """Run the examples, those before the position `end` if there is one, and give the names that they made."""
        names = vars(self.module)
        sys.modules["page"] = self.module
        try:
            for example in self.document.examples():
                if end is None or example.start < end:
                    example.evaluate()
            yield names
        finally:
            del sys.modules["page"]
            for each in names.values():
                if isinstance(each, RedisBackend):
                    each.close()
                    each.client.close()


@pytest.fixture
def throw_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Each kind of server in turn, empty, as the one that connect() opens."""
    server.flush()
    monkeypatch.setenv("DISTOBJECTS_URL", server.url)
    return server


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_snippet_of_a_page_runs_and_shows_what_the_page_says(path: Path, throw_away: Server) -> None:
    with Page(path, throw_away).ran():
        pass


@pytest.mark.parametrize("wrong", ["```pycon\n>>> 1 + 1\n3\n```", '```text\n127.0.0.1:6379> GET x\n"y"\n```'])
def test_a_snippet_that_shows_something_else_fails(wrong: str, throw_away: Server, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(wrong)
    with pytest.raises(AssertionError, match="Expected"), Page(page, throw_away).ran():
        pass


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_fence_of_a_page_is_of_a_kind_that_is_checked(path: Path) -> None:
    opened = re.findall(r"^```(\S*)", path.read_text(), re.MULTILINE)[::2]
    unchecked = {"console"} if path.name != "README.md" else {"sh"}
    assert set(opened) <= {"python", "pycon", "text"} | unchecked


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_example_of_a_docstring_runs(path: Path) -> None:
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    told: list[str] = []
    for docstring in doctest.DocTestFinder().find(module):
        runner.run(docstring, out=told.append)
    assert "".join(told) == ""
    assert runner.tries >= len(re.findall(r"^ +>>> ", path.read_text(), re.MULTILINE))


def test_the_readme_has_two_commands_and_ci_runs_them() -> None:
    assert re.findall(r"^```sh\n(.*?)\n```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL) == [
        "python3 -m venv .venv && .venv/bin/pip install '.[embedded]' && .venv/bin/python -m distobjects demo",
        ".venv/bin/pip install -e '.[dev]' && .venv/bin/python -m tests",
    ]


def test_every_file_that_the_readme_names_is_there() -> None:
    linked = re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text())
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []


# ---- tables


def tables(page: str, first: str) -> list[list[str]]:
    """Return the rows of all tables of a page whose first column has this heading."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    rows: list[list[str]] = []
    inside = False
    for line in lines:
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith(f"| {first} |"):
            inside = True
        elif not cells:
            inside = False
        elif inside and not line.startswith("|---"):
            rows.append(cells)
    assert rows, f"{page} has no table with a column {first!r}"
    return rows


def public(kind: object) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]


def code(cell: str) -> str:
    """Return the code that a cell begins with."""
    found = re.match(r"`(.+?)`", cell)
    assert found, cell
    return found[1]


@dataclass(frozen=True)
class Operation:
    """A row of the tables of operations: code, the commands of each round trip or their alternatives, and how many."""

    code: str
    commands: list[set[str]]
    trips: int

    @classmethod
    def of(cls, row: list[str]) -> Operation:
        steps = [set(re.findall(r"`([A-Z]+)`", step)) for step in row[1].split(",")]
        return cls(code(row[0]), [step for step in steps if step], int(row[2].split()[0]))


OPERATIONS = [Operation.of(row) for row in tables("atomic.md", "operation")]
ATOMIC = ROOT / "docs" / "atomic.md"


@contextmanager
def prepared(server: Server) -> Iterator[dict[str, Any]]:
    """Run the examples before the first table of operations; what a server is told once has been told."""
    page = Page(ATOMIC, server)
    with page.ran(page.text.index("| operation |")) as names:
        with server.client() as client:
            for script in vars(_scripts).values():
                if isinstance(script, _scripts.Script):
                    client.script_load(script.source)
        names["students"]["1"].age = 0  # by now it is known whether the server has HSETEX
        with names["students"].lock("1"):
            pass
        yield names


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.code)
def test_an_operation_takes_the_round_trips_and_commands_that_the_page_says(
    operation: Operation, throw_away: Server
) -> None:
    with prepared(throw_away) as names:
        runner = names["db"]._runner
        before = runner.trips
        with recorder(throw_away) as seen:
            exec(operation.code, names)
        taken = runner.trips - before
    sent = [name for name, _ in itertools.groupby(seen.commands)]
    said = [step for step, _ in itertools.groupby(operation.commands)]
    assert len(sent) == len(said)
    assert [name for name, step in zip(sent, said, strict=True) if name not in step] == []
    assert operation.trips == (len(sent) if "lock(" in operation.code else taken)
    assert operation.trips == len(operation.commands)


@pytest.mark.parametrize("owner", ["Objects", "FieldHandle", "Transaction"])
def test_every_operation_of_the_api_has_a_row(owner: str) -> None:
    silent = {"id_of", "watch", "mirror", "mirror_many"}  # no I/O, or no round trips of their own
    said = " ".join(operation.code for operation in OPERATIONS)
    assert [name for name in public(PUBLIC[owner]) if f".{name}(" not in said and name not in silent] == []


NEEDED = {code(row[0]): row[1] for row in tables("atomic.md", "command")}


def test_a_user_with_the_commands_that_the_page_lists_can_do_every_operation(
    throw_away: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTOBJECTS_URL", throw_away.url.replace("//", "//reader:secret@"))
    with throw_away.client() as admin:
        known = {name.upper() for name in map(bytes.decode, admin.execute_command("COMMAND LIST"))}
        granted = [f"+{name.lower().replace(' ', '|')}" for name in NEEDED if name.split()[0] in known]
        admin.execute_command("ACL SETUSER reader reset on >secret ~* &*", *granted)
        try:
            for operation in OPERATIONS:
                throw_away.flush()
                with prepared(throw_away) as names:
                    exec(operation.code, names)
        finally:
            admin.acl_deluser("reader")


def test_a_script_that_calls_what_its_user_may_not_is_access_denied(throw_away: Server) -> None:
    model = create_model("T", field=(int, 0))
    with throw_away.client() as admin:
        admin.execute_command("ACL SETUSER reader reset on >secret ~* &* +eval +evalsha +exists")
        try:
            with connect(throw_away.url.replace("//", "//reader:secret@")) as db, pytest.raises(AccessDenied):
                db.objects(model).create(model())
        finally:
            admin.acl_deluser("reader")


def _written_in_the_source() -> set[str]:
    """Find every command that the package sends itself, and those that its scripts call."""
    python = "\n".join(path.read_text() for path in MODULES if path.name not in ("_doctor.py", "_embedded.py"))
    lua = "\n".join(path.read_text() for path in ROOT.glob("distobjects/lua/*.lua"))
    sent = re.findall(r'(?:Command\(\(|reading\()\s*"([A-Z]+)"', python)
    return {*sent, *re.findall(r"(?:redis\.p?call\(|\{)'([A-Z]+)'", lua)}


def test_the_page_lists_the_commands_that_the_source_sends_and_no_other() -> None:
    for_locks = {name for name, purpose in NEEDED.items() if "lock" in purpose}
    for_connections = {name for name, purpose in NEEDED.items() if "connect" in purpose}
    sent = _written_in_the_source()
    assert {"HGET", "HINCRBY", "SCAN"} <= sent
    assert set(NEEDED) >= sent
    assert set(NEEDED) - for_connections - for_locks <= sent


# ---- bytes and types


def _names(page: str, server: Server) -> dict[str, Any]:
    with Page(ROOT / "docs" / page, server).ran() as names:
        return dict(names)


def test_each_type_has_the_bytes_that_the_page_shows(throw_away: Server) -> None:
    names = _names("bytes.md", throw_away)
    with connect("memory://types") as db:
        for at, (kind, value, raw, *_) in enumerate(tables("bytes.md", "type")):
            objects = db.objects(create_model("T", field=(eval(code(kind), names), ...)), name=f"t{at}")
            held: Any = objects._space.schema.model(field=eval(code(value), names))
            objects.put(held, id="1")
            assert db.client.hget(f"t{at}:1", "field") == code(raw).encode(), kind
            assert objects.get("1") == held, kind


def test_each_type_that_the_page_calls_refused_is_refused(throw_away: Server) -> None:
    names = _names("concepts.md", throw_away)
    with connect("memory://refused") as db:
        for kind, *_ in tables("concepts.md", "refused type"):
            with pytest.raises(InvalidModel):
                db.objects(create_model("T", field=(eval(code(kind), names), ...)))


# ---- everything public is said


def prose(*, but: Iterable[str] = ()) -> str:
    return "\n".join(path.read_text() for path in PAGES if path.name not in but)


def methods() -> Iterator[tuple[str, str]]:
    for name in ("Objects", "FieldHandle", "RedisBackend", "Transaction", "DObject"):
        yield from ((name, each) for each in public(PUBLIC[name]))
        if twin := PUBLIC.get(f"Async{name}"):
            yield from ((f"Async{name}", each) for each in public(twin))
    yield from (("RedisBackend", each) for each in public(connect("memory://")))  # what an instance has


@pytest.mark.parametrize(("owner", "name"), sorted(set(methods())))
def test_every_method_is_told_of_beside_the_reference(owner: str, name: str) -> None:
    assert re.search(rf"(?<!asyncio)\.{name}\b", prose(but=["reference.md"])), f"{owner}.{name}"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_reference_has_every_public_name(name: str) -> None:
    assert f"::: distobjects.{name}\n" in (ROOT / "docs/reference.md").read_text()


@pytest.mark.parametrize("name", sorted(fields.__all__))
def test_the_reference_has_every_field_of_the_class_form(name: str) -> None:
    assert f"::: distobjects.fields.{name}\n" in (ROOT / "docs/reference.md").read_text()


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_every_error_has_its_symptom_cause_and_way_out(name: str) -> None:
    sections = re.split(r"^### ", (ROOT / "docs/errors.md").read_text(), flags=re.MULTILINE)
    [section] = [each for each in sections if each.startswith(f"{name}\n")]
    assert [word for word in ("**Symptom**", "**Cause**", "**Way out**") if word not in section] == []


def test_the_tree_of_errors_is_the_real_one() -> None:
    tree = (ROOT / "docs/errors.md").read_text()
    for name, kind in ERRORS.items():
        builtins = [base.__name__ for base in kind.__bases__ if not issubclass(base, DistObjectsError)]
        shown = f"{name} ({builtins[0]})" if builtins and builtins != ["Exception"] else name
        assert re.search(rf"^(?:[│ ]*[├└]── )?{re.escape(shown)}(?:  |$)", tree, re.MULTILINE), shown


def _commands() -> dict[str, argparse.ArgumentParser]:
    [commands] = [each for each in cli._parser()._actions if isinstance(each, argparse._SubParsersAction)]
    return dict(commands.choices)


@pytest.mark.parametrize("name", sorted(_commands()))
def test_every_command_of_the_command_line_is_told_of_with_its_options(name: str) -> None:
    parser = _commands()[name]
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    reference = (ROOT / "docs/reference.md").read_text()
    assert f"python -m distobjects {name}" in reference
    assert [option for option in options if option != "--help" and f"`{option}`" not in reference] == []


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_and_method_has_a_docstring(name: str) -> None:
    value = PUBLIC[name]
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        functions = [each for each in vars(value).values() if isinstance(each, (types.FunctionType, property))]
        public_ones = [each for each in functions if not getattr(each, "__name__", "").startswith("_")]
        assert [each for each in public_ones if not inspect.getdoc(each)] == []
