"""Fixtures live in `fix_*.py`, one noun each; this names them."""

from __future__ import annotations

import signal

from hypothesis import settings

pytest_plugins = ("tests.fix_servers", "tests.fix_stores")

# Nothing here is timed: the machine is shared, and a slow example is no wrong one.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell that runs the tests in the background has interrupts ignored, and those of the tests would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
