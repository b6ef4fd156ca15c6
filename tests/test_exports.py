"""What the package offers: names, docstrings, and the tree of its errors."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import distobjects
from distobjects import errors, fields

ROOT = Path(distobjects.__file__).parents[1]
ERRORS = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.DistObjectsError)
}
# design: the tree, and what else each error is
TREE: dict[str, tuple[type, ...]] = {
    "DistObjectsError": (Exception,),
    "NotFound": (errors.DistObjectsError, LookupError),
    "FieldUnset": (errors.DistObjectsError, LookupError),
    "AlreadyExists": (errors.DistObjectsError,),
    "Conflict": (errors.DistObjectsError,),
    "UnknownField": (errors.DistObjectsError, AttributeError),
    "CorruptData": (errors.DistObjectsError, ValueError),
    "InvalidModel": (errors.DistObjectsError, TypeError),
    "OutcomeUnknown": (errors.DistObjectsError, TimeoutError),
    "StoreUnavailable": (errors.DistObjectsError, ConnectionError),
    "StoreBusy": (errors.StoreUnavailable,),
    "ReadOnly": (errors.StoreUnavailable,),
    "OutOfMemory": (errors.StoreUnavailable,),
    "AccessDenied": (errors.DistObjectsError, PermissionError),
    "Unsupported": (errors.DistObjectsError,),
}
FACTS: dict[str, dict[str, Any]] = {
    "NotFound": {"model": "Student", "id": "1"},
    "FieldUnset": {"model": "Student", "id": "1", "field": "name"},
    "AlreadyExists": {"model": "Student", "ids": ("1", "2")},
    "Conflict": {"model": "Student", "id": "1", "fields": ("age", "name")},
    "UnknownField": {"model": "Student", "field": "nmae", "hint": "name"},
    "CorruptData": {"model": "Student", "id": "1", "field": "age", "length": 3, "kind": "int_parsing"},
    "InvalidModel": {"model": "Student", "field": "when", "reason": "that is why"},
}


def made(name: str) -> errors.DistObjectsError:
    facts = FACTS.get(name)
    return ERRORS[name](**facts) if facts else ERRORS[name]("what happened")


# ---- names


def test_what_is_exported_is_sorted_and_what_can_be_imported() -> None:
    found: dict[str, object] = {}
    exec("from distobjects import *", found)
    own = {
        name
        for name, value in vars(distobjects).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("distobjects")
    }
    assert distobjects.__all__ == sorted(distobjects.__all__)
    assert found.keys() - {"__builtins__"} == set(distobjects.__all__) == own
    assert set(distobjects.__all__) <= set(dir(distobjects))


def test_what_does_not_exist_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        distobjects.nothing  # type: ignore[attr-defined]


def test_fields_export_their_markers() -> None:
    markers = {name for name, value in vars(fields).items() if isinstance(value, type) and name.endswith("Field")}
    assert set(fields.__all__) == markers
    assert fields.__all__ == sorted(fields.__all__)


def test_every_module_is_private_but_those_that_are_meant() -> None:
    public = {path.stem for path in Path(distobjects.__file__).parent.glob("*.py") if not path.stem.startswith("_")}
    assert public <= {"errors", "fields", "cli", "fastapi", "otel", "testing"}


def test_types_are_declared() -> None:
    assert (Path(distobjects.__file__).parent / "py.typed").exists()


# ---- docstrings

NAMED = {f"distobjects.{name}": getattr(distobjects, name) for name in distobjects.__all__}
NAMED |= {f"distobjects.fields.{name}": getattr(fields, name) for name in fields.__all__}
NAMED |= {
    f"{name}.{member}": value
    for name, holder in list(NAMED.items())
    if isinstance(holder, type) and holder.__module__.startswith("distobjects")
    for member, value in vars(holder).items()
    if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, (property, classmethod)))
}
# Part of the plan that later features fill in.
OWN_DOCUMENTATION = [name for name in NAMED if not name.endswith(("Marker.stored_as", "JSONField.stored_as"))]


@pytest.mark.parametrize("name", OWN_DOCUMENTATION)
def test_everything_public_has_a_docstring_of_one_sentence_first(name: str) -> None:
    text = inspect.getdoc(NAMED[name])
    assert text
    first = text.partition("\n\n")[0]
    assert first[0].isupper() or first[0] == "`"
    assert first.rstrip().endswith((".", ":"))


# ---- errors


def test_the_errors_are_the_tree_of_the_design() -> None:
    assert ERRORS.keys() == TREE.keys()
    assert {name: error.__bases__ for name, error in ERRORS.items()} == TREE


def test_every_error_is_exported_and_says_so() -> None:
    for name, error in ERRORS.items():
        assert getattr(distobjects, name) is error
        assert f"{error.__module__}.{error.__qualname__}" == f"distobjects.{name}"


def test_the_docstring_draws_the_tree() -> None:
    drawn = [
        (len(indent) // 4, name, (builtin or "").strip("() "))
        for indent, name, builtin in re.findall(
            r"^    ([│ ]*)(?:[├└]── )?(\w+)( \(\w+\))?(?: {2,}\S.*)?$", errors.__doc__ or "", re.MULTILINE
        )
        if name in TREE
    ]
    builtins = {name: [base.__name__ for base in bases[1:]] for name, bases in TREE.items()}
    assert {name for _, name, _ in drawn} == TREE.keys()
    assert len(drawn) == len(TREE)
    for _, name, builtin in drawn:
        assert builtins[name] == ([builtin] if builtin else [])
    below = {name for indent, name, _ in drawn if indent == 1}
    assert below == {name for name, bases in TREE.items() if errors.StoreUnavailable in bases}


def test_every_error_has_a_place_in_the_documentation_once_there_is_any() -> None:
    page = ROOT / "docs" / "errors.md"
    text = page.read_text() if page.exists() else ""
    if text.count("\n") > 1:  # more than its title
        assert [name for name in ERRORS if name not in text] == []
    assert [name for name in ERRORS if name not in (errors.__doc__ or "")] == []


@pytest.mark.parametrize("name", ERRORS)
def test_errors_pickle_with_their_facts(name: str) -> None:
    error = made(name)
    error.add_note("a note")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(error, protocol))
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert back.args == error.args
        assert vars(back) == vars(error)


@pytest.mark.parametrize("name", FACTS)
def test_facts_are_attributes_as_well_as_words(name: str) -> None:
    error = made(name)
    assert {fact: getattr(error, fact) for fact in FACTS[name]} == FACTS[name]
    for value in FACTS[name].values():
        for each in value if isinstance(value, tuple) else (value,):
            assert str(each) in str(error)


@pytest.mark.parametrize("name", FACTS)
def test_messages_begin_small_or_with_the_model_and_end_without_a_stop(name: str) -> None:
    message = str(made(name))
    assert message[0].islower() or message.startswith("Student")
    assert not message.endswith(".")


def test_many_ids_are_counted_and_not_listed() -> None:
    error = errors.AlreadyExists(model="Student", ids=[str(n) for n in range(1000)])
    assert len(error.ids) == 1000
    assert "and 995 more" in str(error)
    assert len(str(error)) < 200


def test_unknown_fields_have_a_hint_only_where_one_is_near() -> None:
    assert "did you mean" not in str(errors.UnknownField(model="Student", field="x"))


def test_an_error_of_a_whole_key_names_no_field() -> None:
    error = errors.CorruptData(model="Student", id="1", field=None, length=None, kind="the key holds no hash")
    assert "field" not in str(error)
    assert "bytes" not in str(error)
