"""What `python -m distobjects demo` shows: two processes and one object, every line of code as it is run.

Each process has a `Session` that runs lines of Python. The second process gets its lines from the first, so the
steps have an order without anybody waiting for a time to pass.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from . import RedisBackend, connect

Say = Callable[[str], None]

# Whoever kills the demo leaves nothing behind for longer than this.
_KEEP_SECONDS = 600
# A second process that has not ended by then never will.
_LIMIT_SECONDS = 60.0
_ENDED_EARLY = "the second process ended early; what it says is above"


class Home(BaseModel):
    city: str
    street: str | None = None


class Student(BaseModel):
    name: str
    age: int = Field(default=0, ge=0)
    tags: list[str] = []
    home: Home | None = None
    seen: datetime | None = None

    def is_adult(self) -> bool:
        return self.age >= 18


class Session:
    """Runs lines of Python in one process, with the names that the lines use."""

    def __init__(self, db: RedisBackend) -> None:
        self._names: dict[str, Any] = {
            "Home": Home,
            "Student": Student,
            "UTC": UTC,
            "datetime": datetime,
            "students": db.objects(Student),
        }

    def run(self, line: str) -> list[str]:
        """Run one line and return what an interactive Python would show for it."""
        try:
            try:
                code = compile(line, "<demo>", "eval")
            except SyntaxError:
                exec(line, self._names)
                return []
            value = eval(code, self._names)
        except ValidationError as error:
            return f"ValidationError: {error}".splitlines()[:-1]  # the last one is a link
        return [] if value is None else [repr(value)]


def serve(prefix: str) -> None:
    """Be the second process: run each line of the input, and answer with what it shows, as one line of JSON."""
    with connect(prefix=prefix) as db:
        session = Session(db)
        for line in sys.stdin:
            sys.stdout.write(json.dumps(session.run(line.rstrip("\n"))) + "\n")
            sys.stdout.flush()


class Other:
    """The second process, as the first one sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def run(self, line: str) -> list[str]:
        """Have the second process run one line; return what it shows."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ChildProcessError(_ENDED_EARLY)
        shown: list[str] = json.loads(answer)
        return shown


@contextmanager
def _other(prefix: str) -> Generator[Other]:
    """Run the second process for the length of the block; it ends when its input does."""
    program = "import sys; from distobjects import _demo; _demo.serve(sys.argv[1])"
    process = subprocess.Popen(
        [sys.executable, "-c", program, prefix],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the first process, which then ends this one
    )
    watchdog = threading.Timer(_LIMIT_SECONDS, process.kill)
    watchdog.start()
    try:
        with process:
            try:
                yield Other(process)
            except BaseException:
                process.kill()
                raise
    except BrokenPipeError as error:
        raise ChildProcessError(_ENDED_EARLY) from error
    finally:
        watchdog.cancel()


def show(say: Say) -> None:
    """Show the whole demo, line by line, and delete what it stored."""
    prefix = f"distobjects-demo:{uuid.uuid4().hex[:8]}:"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it is only memory is told below, in other words
        db = connect(prefix=prefix)
    with db:
        try:
            _show(say, db)
        finally:
            deleted = db.objects(Student).delete("1")
        assert deleted
        say("\nThe demo has deleted its object. Next: python -m distobjects doctor")


def _show(say: Say, db: RedisBackend) -> None:
    alone = str(db.url).startswith("memory:")
    here = Session(db)
    say(f"This is process {os.getpid()}. The objects live in {db.url}")
    if alone:
        say(
            "That is this process's own memory: one process is all there is to see. For two of them,\n"
            "pip install 'distobjects[embedded]', install redis-server, or set DISTOBJECTS_URL."
        )
    _title(say, "A plain pydantic model says what a student is")
    for line in f"{inspect.getsource(Home)}\n{inspect.getsource(Student)}".splitlines():
        say(f"    {line}".rstrip())

    _title(say, "This process stores a student and holds it as a live object")
    say("    >>> students = connect().objects(Student)")
    _run(say, here, CREATE)

    if alone:
        _title(say, "Each assignment is validated and stored at once, each read asks the store")
        _run(say, here, CHANGE)
    else:
        with _other(db.prefix) as other:
            _title(say, f"A second process, {other.pid}, changes it: each assignment is validated and stored at once")
            _run(say, other, ('harry = students["1"]', *CHANGE), who="second ")
            _title(say, "The first process sees that at its next read: it has no copy to refresh")
            _run(say, here, LOOK)
            _title(say, "The other way round, with a nested model and a date")
            _run(say, here, ANSWER)
            _run(say, other, ("harry.home", "harry.seen is not None"), who="second ")

    _title(say, "What the model refuses never reaches the store")
    _run(say, here, REFUSED)


CREATE = (
    'harry = students.create(Student(name="Harry", age=17, tags=["seeker"]), id="1")',
    f"students.expire(harry, seconds={_KEEP_SECONDS})",
    "harry.name, harry.age, harry.is_adult()",
)
CHANGE = ("harry.age += 1", 'harry.tags = [*harry.tags, "captain"]')
LOOK = ("harry.age, harry.is_adult()", "harry.tags")
ANSWER = (
    'harry.home = Home(city="London", street="Grimmauld Place")',
    "harry.seen = datetime.now(UTC)",
)
REFUSED = ("harry.age = -1", 'harry.age = "old"', "harry.age")


def _title(say: Say, text: str) -> None:
    say(f"\n{text}\n")


def _run(say: Say, process: Session | Other, lines: Sequence[str], *, who: str = "") -> None:
    for line in lines:
        say(f"    {who}>>> {line}")
        _indented(say, process.run(line), len(who))


def _indented(say: Say, lines: Iterable[str], extra: int) -> None:
    for line in lines:
        say(f"    {' ' * extra}{line}")
