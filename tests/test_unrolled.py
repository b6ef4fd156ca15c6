"""Loops that are written out: the same as the loops, for any number of items."""

from __future__ import annotations

import pytest

from distobjects._unrolled import call_each, fill, name_all, name_each

SIZES = [0, 1, 2, 300]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_out_does_what_the_loop_does(size: int) -> None:
    names, numbers = [f"{n} 'name'\n<{{#" for n in range(size)], [*range(size)]
    functions = [lambda n, by=by: n * by for by in range(size)]
    squares = [n * n for n in range(size)]
    values = dict(zip(names, numbers, strict=True))
    assert call_each(names, functions)({**values, "other": 1}) == squares
    assert name_each(names, functions)(numbers) == dict(zip(names, squares, strict=True))
    assert name_all(names)([numbers, squares]) == [values, dict(zip(names, squares, strict=True))]


@pytest.mark.parametrize("items", [[1], [1, 2, 3]])
def test_another_number_of_items_is_refused(items: list[int]) -> None:
    with pytest.raises(ValueError, match="values to unpack"):
        name_each("ab", [str, str])(items)
    with pytest.raises(ValueError, match="values to unpack"):
        name_all("ab")([items])


@pytest.mark.parametrize("size", SIZES)
def test_arguments_are_joined_with_their_heads_between_the_pieces(size: int) -> None:
    pieces = [b"%d." % n for n in range(size + 1)]
    joined = fill(pieces, [b"=0:", b"=1:"], lambda raws: b"long %d" % len(raws))
    expected = b"".join(b"%d.=%d:%b" % (n, n % 2, b"x" * (n % 2)) for n in range(size))
    assert joined(*(b"x" * (n % 2) for n in range(size))) == expected + pieces[-1]
    if size:
        assert joined(*([b"xx"] * size)) == b"long %d" % size
