"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def machine(servers: Mapping[str, str]) -> dict[str, str]:
    """Name the machine and the version of everything that counts.

    Args:
        servers: Their binaries by their names.
    """
    return {
        "CPU": f"{_processor()}, {os.cpu_count()} of them",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: _version(name) for name in ("redis", "hiredis", "pydantic", "distobjects")},
        **{f"{name} server": server_version(binary) for name, binary in servers.items()},
        "pinned": "client and server to one CPU" if hasattr(os, "sched_setaffinity") else "no",
    }


def busy() -> str:
    """Say how much others had to do when it began: it widens the spread, and moves a ratio a little."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return f"load {os.getloadavg()[0]:.1f} when it began"


def server_version(binary: str) -> str:
    """Return a server's version: `9.1.2`."""
    said = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"v=(\S+)", said)
    return found[1] if found else said.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()
