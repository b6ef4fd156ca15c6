"""Fixtures live in `fix_*.py`, one noun each; this names them."""

from __future__ import annotations

pytest_plugins = ("tests.fix_servers", "tests.fix_stores")
