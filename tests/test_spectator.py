"""`distobjects watch`: what changes, readable, without a model; and its end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from distobjects import cli
from tests.fix_servers import Server

ROOT = Path(__file__).parents[1]


@contextmanager
def running_watch(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command until the block ends; it has begun to watch when the block does."""
    command = [sys.executable, "-m", "distobjects", "watch", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("watching ")
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line, without its time."""
    assert process.stdout is not None
    time, _, rest = process.stdout.readline().rstrip("\n").partition(" ")
    assert len(time) == len("12:34:56.789")
    return rest


STEPS: list[tuple[Callable[[Any], object], str]] = [
    (lambda raw: raw.hset("Student:1", "age", 12), "Student:1 changed age 11 -> 12"),
    (lambda raw: raw.hset("Student:1", "tags", "[1, 2]"), "Student:1 changed tags = '[1, 2]'"),
    (lambda raw: raw.hdel("Student:1", "tags"), "Student:1 changed tags '[1, 2]' -> nothing"),
    (lambda raw: raw.hset("Student:1", "age", "x" * 100), f"Student:1 changed age 12 -> {'x' * 60}…"),
    (lambda raw: raw.hset("Student:1", "age", b"\x1b[2J\xff"), rf"Student:1 changed age {'x' * 60}… -> '\x1b[2J\\xff'"),
    (lambda raw: raw.delete("Student:1"), r"Student:1 deleted age was '\x1b[2J\\xff', name was Harry"),
    (lambda raw: raw.hset("Student:1", mapping={"b": 1, "a": ""}), "Student:1 created a = '', b = 1"),
    (lambda raw: raw.pexpire("Student:1", 1), "Student:1 deleted a was '', b was 1"),
]


@pytest.mark.parametrize("what", [["Student"], ["Student:1"], ["Student:"], []])
def test_it_shows_what_changes(server: Server, what: list[str]) -> None:
    server.flush()
    with server.client() as raw:
        raw.hset("Student:1", mapping={"name": "Harry", "age": 11})
        raw.set("Student:text", "no hash")
        with running_watch(server.url, *what) as process:
            for change, line in STEPS:
                raw.set("Student:text", "no hash either")
                if what:
                    raw.hset("Other:1", "age", 1)
                change(raw)
                assert said(process) == line


def test_it_writes_json(server: Server) -> None:
    server.flush()
    with server.client() as raw, running_watch(server.url, "Student", "--json") as process:
        raw.hset(b"Student:\xff", "age", 1)
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told.pop("time")[10] == "T"
        assert told["fields"] == {"age": [None, "1"]}
        assert told["event"] == "created"


def test_an_interrupt_ends_it_with_the_usual_status(server: Server) -> None:
    with running_watch(server.url, "Student") as process:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (130, "", "")


def test_a_server_that_is_not_there_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", "redis://127.0.0.1:1/0"]) == 2
    assert capsys.readouterr().err.startswith("distobjects: redis://127.0.0.1:1/0: ")


def test_memory_can_be_watched_too() -> None:
    with running_watch("memory://", "Student"):
        pass
