"""What a type checker must refuse: every marked line is an error, in `mypy --strict` and in `pyright`, and no other is.

Never executed.
"""

from __future__ import annotations

from accepted import S, Student, m, students

s = students["1"]
s.agee  # refused: unknown attribute, read
s.agee = 3  # refused: unknown attribute, written
s.age = "x"  # refused: wrong type, written
v: str = s.age  # refused: wrong type, read
S.agee  # refused: unknown field reference
students.field("1", S.age).set("x")  # refused: wrong type through a reference
students.field("1", S.name).increment()  # refused: not a number
students.field("1", S.tags).append(5)  # refused: not an item of the list
students.field("1", S.age).append(5)  # refused: not a list
students.field("1", S.age).compare_and_set("a", 1)  # refused: wrong type
students.create(Student(age=3), id="1")  # refused: a required field is missing
m.first_name = 3  # refused: wrong type on an original-style field
m.first_nam  # refused: unknown field on an original-style class
m.born = "x"  # refused: wrong type on another field of that kind
students.create({"name": "Ron"}, id="1")  # refused: no instance of the model
students.field("1", S.name).update(len)  # refused: the change gives another type
students["1"] = s  # refused: objects are put, not assigned
students.expire("1", 60)  # refused: the unit is to be named
students.get(1.5)  # refused: no id
