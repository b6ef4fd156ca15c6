"""The command line, as its users call it: `python -m distobjects` in a process, or `main` in this one."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

import distobjects
from distobjects import _demo, _doctor, _embedded, connect
from distobjects.cli import main
from tests.fix_servers import Server, binary, free_port, poll, running

ROOT = Path(distobjects.__file__).parents[1]
SECRET = "correct-horse"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user whose data is in a directory of the test's own, and whose environment names no store."""
    for name in ("DISTOBJECTS_URL", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return _embedded.default_directory()


def called(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "distobjects", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() if sys.platform == "linux" else not os.kill(pid, 0)


# ---- the command


def test_the_entry_point_is_the_main_function() -> None:
    [entry] = importlib.metadata.entry_points(group="console_scripts", name="distobjects")
    assert entry.load() is main


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, importlib.metadata.version("distobjects") + "\n")


@pytest.mark.parametrize("arguments", [[], ["dance"], ["doctor", "--loud"], ["demo", "redis://h"]])
def test_a_wrong_call_shows_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: distobjects ")


# ---- demo


def test_the_demo_shows_two_processes_that_share_an_object(home: Path) -> None:
    binary("valkey")
    begin = time.monotonic()
    ended = called("demo")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert time.monotonic() - begin < 30
    lines = [line.strip() for line in ended.stdout.splitlines()]
    shown = {line: lines[at + 1] for at, line in enumerate(lines[:-1]) if ">>>" in line}
    assert f"embedded://{home}" in lines[0]
    assert "age: int = Field(default=0, ge=0)" in lines
    assert shown[">>> harry.name, harry.age, harry.is_adult()"] == "('Harry', 17, False)"
    assert "second >>> harry.age += 1" in shown
    assert shown[">>> harry.age, harry.is_adult()"] == "(18, True)"  # the first sees what the second has done
    assert shown[">>> harry.tags"] == "['seeker', 'captain']"
    assert shown["second >>> harry.home"] == "Home(city='London', street='Grimmauld Place')"  # and the other way round
    assert shown["second >>> harry.seen is not None"] == "True"
    assert shown[">>> harry.age = -1"] == "ValidationError: 1 validation error for Student"
    assert shown[">>> harry.age"] == "18"
    assert max(map(len, lines[1:])) < 140  # the first has the path of a directory
    processes = [int(each) for each in re.findall(r"process,? (\d+)", ended.stdout)]
    assert len(set(processes)) == 2
    assert not any(map(alive, processes))


def test_the_demo_leaves_no_object_and_no_server_behind(home: Path) -> None:
    binary("valkey")
    assert called("demo").returncode == 0
    assert not (home / "server.pid").exists()
    with connect(f"embedded://{quote(str(home))}") as db:
        assert db.client.dbsize() == 0


def test_the_demo_uses_the_store_that_is_named_and_touches_nothing_else_there(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.flush()
    monkeypatch.setenv("DISTOBJECTS_URL", f"redis://:@127.0.0.1:{server.port}/0")
    with server.client() as client:
        client.hset("Student:1", "name", "Ron")
        assert main(["demo"]) == 0
        assert client.keys() == [b"Student:1"]
        assert client.hgetall("Student:1") == {b"name": b"Ron"}
    assert f"redis://127.0.0.1:{server.port}/0" in capsys.readouterr().out


def test_the_demo_says_that_memory_is_for_one_process_and_shows_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_embedded, "_wheel", lambda: None)
    monkeypatch.setenv("PATH", "")
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert "one process is all there is to see" in out
    assert "distobjects[embedded]" in out
    assert "second >>>" not in out
    assert "ValidationError: 1 validation error for Student" in out
    assert out.index(">>> harry.age += 1") < out.index("    18\n")
    assert err == ""


def test_the_demo_says_in_one_line_that_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTOBJECTS_URL", f"redis://u:{SECRET}@127.0.0.1:{free_port()}/0")
    ended = called("demo")
    assert ended.returncode == 2
    assert re.fullmatch(r"distobjects: redis://127.0.0.1:\d+/0: .*is the server running\?.*\n", ended.stderr)
    assert SECRET not in ended.stdout + ended.stderr


def test_an_interrupted_demo_leaves_nothing_behind(home: Path) -> None:
    binary("valkey")
    command = [sys.executable, "-m", "distobjects", "demo"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stderr
        for line in process.stdout:
            if found := re.search(r"A second process, (\d+),", line):
                break
        os.killpg(process.pid, signal.SIGINT)
        assert (process.wait(30), process.stderr.read()) == (130, "")
        assert not alive(int(found[1]))
    assert not (home / "server.pid").exists()
    with connect(f"embedded://{quote(str(home))}") as db:
        assert db.client.dbsize() == 0


@pytest.mark.parametrize("waited", [False, True], ids=["while it answers", "before it is asked"])
def test_a_second_process_that_dies_ends_the_demo(waited: bool, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DISTOBJECTS_URL", url)

    def use() -> None:
        with _demo._other("demo-test:") as other:
            pids.append(other.pid)
            assert other.run("1 + 1") == ["2"]
            if waited:
                os.kill(other.pid, signal.SIGKILL)
                other._process.wait()
            other.run("import os; os.kill(os.getpid(), 9)")

    pids: list[int] = []
    with pytest.raises(ChildProcessError, match="ended early"):
        use()
    assert not alive(pids[0])


def test_the_second_process_answers_each_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISTOBJECTS_URL", "memory://answering")
    monkeypatch.setattr(sys, "stdin", iter(["x = 3\n", "x + 1\n", "Student(name='H', age=-1)\n", "None\n"]))
    _demo.serve("demo-test:")
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answers[0], answers[1], answers[3]] == [[], ["4"], []]
    assert answers[2][0] == "ValidationError: 1 validation error for Student"


# ---- doctor


def examined(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status of the doctor, and what it writes as JSON."""
    status = main(["doctor", "--json", *arguments])
    out, err = capsys.readouterr()
    assert err == ""
    assert SECRET not in out
    return status, json.loads(out)


def test_a_server_that_is_fine(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.flush()
    status, found = examined(capsys, server.url)
    assert (status, found["status"], found["reached"], found["problems"]) == (0, 0, True, [])
    assert found["store"] == {"url": server.url}
    assert found["server"]["name"] == server.kind
    with server.client() as client:
        info = client.info("server")
        assert client.dbsize() == 0  # nothing is left behind
    assert found["server"]["version"] == info.get("valkey_version", info["redis_version"])
    assert found["server"]["process"] == server.process.pid
    assert (found["server"]["mode"], found["server"]["role"]) == ("standalone", "master")
    assert found["memory"]["eviction_policy"] == "noeviction"
    assert found["memory"]["maxmemory_bytes"] == "no limit"
    assert found["persistence"]["append_only_file"] is False
    assert any("nothing is persistent" in note for note in found["notes"])
    assert 0 < found["latency"]["p50_microseconds"] <= found["latency"]["p99_microseconds"] < 1e6
    assert 10 < found["latency"]["reads"] <= 1000
    assert found["versions"]["redis"] == redis.__version__


def test_what_each_kind_of_server_can_do(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = examined(capsys, server.url)
    new = server.kind == "valkey"
    everywhere = dict.fromkeys(("lua", "sha1_in_lua", "scan", "client_tracking", "pub_sub", "streams"), True)
    assert found["capabilities"] == {**everywhere, "hsetex": new, "hash_field_ttl": new}
    assert any("no HSETEX" in note for note in found["notes"]) != new


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_protocol_is_the_one_in_use(protocol: int, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = examined(capsys, f"{server.url}?protocol={protocol}")
    assert found["server"]["resp_protocol"] == protocol


def test_the_report_is_readable_too(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", f"redis://:@127.0.0.1:{server.port}/0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "all is well"
    assert f"  url                    {server.url}" in lines
    assert "  lua                    yes" in lines
    assert "  append only file       no" in lines
    assert any(line.startswith("note: nothing is persistent") for line in lines)


def test_a_package_that_is_not_installed_is_no_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_doctor, "_PACKAGES", ("distobjects", "no-such-package"))
    status, found = examined(capsys, "memory://")
    assert (status, found["versions"]["no-such-package"]) == (0, "not installed")


def test_what_is_not_known_is_called_unknown() -> None:
    report = _doctor.Report({"server": {"resp_protocol": None}}, ["it hurts"], [], reached=True)
    assert report.lines() == ["server", "  resp protocol          unknown", "PROBLEM: it hurts", "there are problems"]


@pytest.mark.parametrize("form", ["redis://u:{secret}@127.0.0.1:{port}/0", "unix:///nowhere/{port}"])
def test_a_server_that_is_not_there_is_status_2(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = form.format(secret=SECRET, port=free_port())
    begin = time.monotonic()
    status, found = examined(capsys, url)
    assert time.monotonic() - begin < 2
    assert (status, found["reached"]) == (2, False)
    assert "is the server running?" in found["problems"][0]
    assert main(["doctor", url]) == 2
    assert capsys.readouterr().out.endswith("the server cannot be reached\n")


def test_a_url_that_nobody_understands_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = examined(capsys, f"http://u:{SECRET}@h")
    assert (status, found["problems"][0][:12]) == (2, "URL scheme '")


def test_a_wrong_password_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with running("valkey", "--requirepass", "another") as server:
        for url in (f"redis://:{SECRET}@127.0.0.1:{server.port}/0", server.url):
            status, found = examined(capsys, url)
            assert (status, found["reached"]) == (1, True)
            assert "check user, password" in found["problems"][0]


def test_a_user_who_may_do_little_learns_what_is_missing(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with server.client() as client:
        rules = ["+exists", "+select", "+hget"]
        client.acl_setuser("clerk", enabled=True, reset=True, passwords=[f"+{SECRET}"], keys=["*"], commands=rules)
    status, found = examined(capsys, f"redis://clerk:{SECRET}@127.0.0.1:{server.port}/0")
    assert status == 1
    for text in ("INFO is refused", "Lua scripts are refused", "an object cannot be stored"):
        assert any(text in problem for problem in found["problems"])
    assert any("SCAN is refused" in note for note in found["notes"])
    assert "server" not in found


def test_a_user_who_may_not_look_into_the_configuration_is_told_the_rest(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.client() as client:
        rules = ["+@all", "-config", "-client|info"]
        client.acl_setuser(
            "watcher", enabled=True, reset=True, passwords=[f"+{SECRET}"], keys=["*"], channels=["*"], commands=rules
        )
    status, found = examined(capsys, f"redis://watcher:{SECRET}@127.0.0.1:{server.port}/0")
    assert (status, found["persistence"]["snapshots"], found["server"]["resp_protocol"]) == (0, None, None)


def test_a_server_that_evicts_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with running("redis", "--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb") as server:
        status, found = examined(capsys, server.url)
    assert (status, found["memory"]["maxmemory_bytes"]) == (1, 104857600)
    assert found["problems"] == ["maxmemory-policy is allkeys-lru: objects may vanish; set it to noeviction"]


def test_a_full_server_is_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with running("valkey", "--maxmemory", "1") as server:
        status, found = examined(capsys, server.url)
    assert status == 1
    assert any("of 1 bytes are in use" in problem for problem in found["problems"])
    assert any("an object cannot be stored" in problem for problem in found["problems"])


def test_a_replica_is_a_problem(valkey_server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    with running("valkey", "--replicaof", "127.0.0.1", str(valkey_server.port)) as replica:
        status, found = examined(capsys, replica.url)
    assert (status, found["server"]["role"]) == (1, "slave")
    assert any("write to the primary" in problem for problem in found["problems"])


def test_a_server_that_cannot_save_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with running("redis", "--dir", str(folder), "--save", "3600 1") as server, server.client() as client:
        folder.rmdir()
        client.bgsave()
        poll(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        status, found = examined(capsys, server.url)
    assert (status, found["persistence"]["last_snapshot"], found["persistence"]["snapshots"]) == (1, "err", "3600 1")
    assert any("could not write its data to disk" in problem for problem in found["problems"])


def test_a_busy_server_has_been_reached(capsys: pytest.CaptureFixture[str]) -> None:
    with running("redis", "--busy-reply-threshold", "50") as server, server.client() as client:
        script = threading.Thread(target=_run_forever, args=(client,))
        script.start()
        with server.client() as other:
            poll(lambda: _is_busy(other))
            status, found = examined(capsys, server.url)
            other.script_kill()
        script.join()
    assert (status, found["reached"]) == (1, True)
    assert "BUSY" in found["problems"][0]


def _run_forever(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while true do end", 0)


def _is_busy(client: redis.Redis) -> bool:
    try:
        return not client.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")


def test_a_node_of_a_cluster_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    with running("valkey", "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        status, found = examined(capsys, server.url)
    assert status == 2
    assert "Hash slot not served" in found["problems"][0]


@pytest.mark.parametrize(("version", "old"), [("6.0.16", True), ("5.0.9", True), ("6.2.0", False), ("10.1.0", False)])
def test_a_server_that_is_too_old_is_a_problem(version: str, old: bool) -> None:
    report = _doctor.Report()
    _doctor.judge_age(report, version)
    assert bool(report.problems) == old


def test_memory_is_fine_and_the_doctor_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = examined(capsys, "memory://doctor")
    assert (status, found["problems"], found["server"]["name"]) == (0, [], "fakeredis")
    assert found["capabilities"]["lua"]
    assert any("no other process sees" in note for note in found["notes"])


def test_the_doctor_says_why_the_default_is_memory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_embedded, "_wheel", lambda: None)
    monkeypatch.setenv("PATH", "")
    status, found = examined(capsys)
    assert (status, found["store"]["url"]) == (0, "memory://")
    assert any("pip install 'distobjects[embedded]'" in note for note in found["notes"])


# ---- doctor and the embedded server

USER = """
import sys
from distobjects import connect
with connect(sys.argv[1]) as db:
    print(db.client.info("server")["process_id"], flush=True)
    sys.stdin.read()
"""


@contextmanager
def user(home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a process that uses the embedded server; yield it, and the id of the server's process."""
    command = [sys.executable, "-c", USER, f"embedded://{quote(str(home))}"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, int(process.stdout.readline())
            process.communicate(timeout=30)  # its input ends, and so does it: killed, it would leave the server behind
        finally:
            process.kill()


def test_the_embedded_server_of_nobody_else(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = binary("valkey")
    status, found = examined(capsys)
    assert (status, found["notes"]) == (0, [])
    assert found["embedded"] == {
        "directory": str(home),
        "binary": path,
        "server_process": found["server"]["process"],
        "other_users": "none",
        "log": str(home / "server.log"),
    }
    assert found["persistence"]["append_only_file"] is True
    assert not alive(found["server"]["process"])


def test_the_users_of_the_embedded_server(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary("valkey")
    with user(home) as (process, server):
        status, found = examined(capsys)
        assert (status, found["notes"]) == (0, [])
        assert found["embedded"]["other_users"] == str(process.pid)
        assert found["embedded"]["server_process"] == server
        assert alive(server)


def test_an_embedded_server_that_was_left_behind_is_told_and_ended(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binary("valkey")
    with user(home) as (process, server):
        with redis.Redis(unix_socket_path=_embedded._socket_path(home)) as client:
            poll(lambda: client.info("server")["uptime_in_seconds"] >= 3)
        process.kill()
        process.wait()
        assert alive(server)
        status, found = examined(capsys)
        assert status == 0
        assert found["notes"] == [
            f"process {server} had no user left (the last one was killed); it ends with this command"
        ]
        poll(lambda: not alive(server))


def test_users_are_unknown_where_the_system_does_not_list_locks(tmp_path: Path) -> None:
    assert _doctor._lock_holders(tmp_path / "users.lock", tmp_path / "no such table") is None
    (tmp_path / "table").touch()
    assert _doctor._lock_holders(tmp_path / "users.lock", tmp_path / "table") is None


def test_only_shared_locks_on_the_very_file_are_users(tmp_path: Path) -> None:
    file, table = tmp_path / "users.lock", tmp_path / "locks"
    file.touch()
    found = file.stat()
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    table.write_text(
        f"1: FLOCK  ADVISORY  READ 77 {place} 0 EOF\n"
        f"2: FLOCK  ADVISORY  READ {os.getpid()} {place} 0 EOF\n"
        f"3: FLOCK  ADVISORY  WRITE 78 {place} 0 EOF\n"
        f"4: POSIX  ADVISORY  READ 79 {place} 0 EOF\n"
        f"5: FLOCK  ADVISORY  READ 80 {place}0 0 EOF\n"
        f"6: FLOCK  ADVISORY  READ 9 {place} 0 EOF\n"
    )
    assert _doctor._lock_holders(file, table) == [9, 77]
