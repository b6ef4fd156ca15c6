"""Many processes at once on real servers: what is promised under concurrency and faults, counted.

`python -m tests.stress` runs the full sizes and prints the figures; `tests/test_stress.py` runs a twentieth of them.
"""
