"""Functions that are carried do the same as here; the others are refused by name."""

import collections
import functools
import json
import math
import os.path
import random
import subprocess
import sys
import threading
import xml.etree.ElementTree
from collections import Counter
from functools import lru_cache, reduce

import httpx
import pytest
import sample_module
from sample_module import helper

import meshwork
from meshwork import _guest
from meshwork._source import carry, command_text

RATE = 3
NESTED = {"t": (1, 2.5), "b": b"x", "s": {1, 2}}
LOCK = threading.Lock()
COUNT = 0


def outcome(function, *args, **kwargs):
    """As a node would call it."""
    program = json.loads(json.dumps(carry(function).program))
    request = _guest.dumps({"calls": [[list(args), kwargs]], "go_on": False})
    ((kind, value),) = json.loads(json.dumps(_guest.run(program, request)))
    assert kind == 0, value
    return _guest.from_json(value)


def plus_one(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + 1

    return wrapper


@plus_one
def decorated(x):
    return x * RATE


@lru_cache(maxsize=100)
def fib(n: "unknown_name") -> int:  # noqa: F821
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def many(x, y=NESTED, *, z=RATE + 1):
    def inner(value: Thing) -> Thing:
        return value + 1

    tag = xml.etree.ElementTree.fromstring("<a/>").tag
    text = """
  kept as it is"""
    total = reduce(lambda a, b: a + b, range(x + 1))
    return [
        math.isqrt(x),
        fib(x),
        decorated(x),
        total,
        Counter("aab")["a"],
        y,
        z,
        tag,
        os.path.join("a", "b"),
        inner(x),
        text,
    ]


@pytest.mark.parametrize("function", [many, decorated, fib, even, odd])
def test_what_is_carried_does_the_same(function):
    assert outcome(function, 6) == function(6)


def test_functions_of_other_modules_have_their_own_globals():
    def both():
        return helper("a")

    assert outcome(both) == 2


def test_lambdas_nested_functions_and_the_standard_library_are_carried():
    def nested(x):
        return x - 1

    first, second = lambda x: x + 1, lambda x: x + (2)
    assert [outcome(function, 5) for function in (nested, first, second, math.sqrt, str)] == [
        4,
        6,
        7,
        math.sqrt(5),
        "5",
    ]


def test_a_constant_is_as_it_is_at_the_call(monkeypatch):
    def uses():
        return RATE

    monkeypatch.setitem(globals(), "RATE", 8)
    assert outcome(uses) == 8


def test_the_program_says_what_it_imports_and_nothing_of_the_folder():
    def needs():
        import sqlite3

        return sqlite3.sqlite_version

    text = carry(needs).text()
    assert "    import sqlite3\n" in text
    assert os.path.dirname(__file__) not in text


def test_the_program_runs_by_itself():
    done = subprocess.run(
        [sys.executable, "-c", carry(many).text()],
        input=_guest.dumps({"calls": [[[6], {}], [[-1], {}], [[1], {}]], "go_on": True}).encode(),
        capture_output=True,
    )
    good, bad, after = json.loads(done.stdout)
    assert _guest.from_json(good[1]) == many(6)
    assert (bad[1][0]["type"], after[0]) == ("TypeError", 0)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr


def closure_over(value):
    def inner():
        return value

    return inner


class Thing:
    def method(self):
        return 1


def uses_lock():
    return LOCK


def uses_class():
    return Thing()


def uses_httpx():
    return httpx.get("x")


def uses_own_module():
    return sample_module.helper("a")


def imports_httpx():
    import httpx as web

    return web


def uses_nothing_that_is():
    return not_defined_anywhere  # noqa: F821


def changes():
    global COUNT
    COUNT += 1


def generator():
    yield 1


async def coroutine():
    return 1


def uses_file():
    return __file__


def through_helper():
    return uses_lock()


@pytest.mark.parametrize(
    ("function", "name", "text"),
    [
        (closure_over(1), "value", "closure over value"),
        (Thing().method, None, "method"),
        (Thing, None, "class"),
        (Thing(), None, "needed|not a plain"),
        (functools.partial(even, 1), None, "partial"),
        (uses_lock, "LOCK", "uses the variable LOCK"),
        (through_helper, "LOCK", "uses_lock uses the variable LOCK"),
        (uses_class, "Thing", "a class"),
        (uses_httpx, "httpx", "standard library only"),
        (uses_own_module, "sample_module", "standard library only"),
        (imports_httpx, "httpx", "imports httpx"),
        (uses_nothing_that_is, "not_defined_anywhere", "not defined"),
        (changes, "COUNT", "changes the global variable COUNT"),
        (generator, None, "return a list"),
        (coroutine, None, "coroutine"),
        (uses_file, "__file__", "another machine"),
        (eval("lambda: 1"), None, "source cannot be found"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_carried_is_refused_by_name(function, name, text):
    with pytest.raises(meshwork.NotCarried, match=text) as caught:
        carry(function)
    if name is not None:
        assert caught.value.name == name


def test_a_program_has_a_bound(monkeypatch):
    def uses():
        return RATE

    monkeypatch.setitem(globals(), "RATE", "x" * (9 << 20))
    with pytest.raises(meshwork.NotCarried, match="pass large values as arguments"):
        carry(uses).text()


def test_the_source_of_the_command_line_is_found_among_the_options():
    words = ["python", "-W", "error", "-Xutf8", "-Ic", "the program", "-c", "not this"]
    assert command_text(words) == "the program"
    assert command_text(["python", "-cprogram"]) == "program"
    assert command_text(["python", "file.py"]) == ""


def test_classes_of_the_library_are_carried_by_import():
    def counts():
        return dict(collections.OrderedDict(a=1)), isinstance(random.Random(1), random.Random)

    assert outcome(counts) == ({"a": 1}, True)
