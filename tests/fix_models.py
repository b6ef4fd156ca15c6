"""Models that several tests use."""

from pydantic import BaseModel


class Thirty(BaseModel):
    """As many fields as are asked for by name: an object with one more is read by HGETALL."""

    x00: int = 0
    x01: int = 1
    x02: int = 2
    x03: int = 3
    x04: int = 4
    x05: int = 5
    x06: int = 6
    x07: int = 7
    x08: int = 8
    x09: int = 9
    x10: int = 10
    x11: int = 11
    x12: int = 12
    x13: int = 13
    x14: int = 14
    x15: int = 15
    x16: int = 16
    x17: int = 17
    x18: int = 18
    x19: int = 19
    x20: int = 20
    x21: int = 21
    x22: int = 22
    x23: int = 23
    x24: int = 24
    x25: int = 25
    x26: int = 26
    x27: int = 27
    x28: int = 28
    x29: int = 29
