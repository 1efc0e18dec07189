"""A plain Python function as a program that runs elsewhere: its source, and whatever of its module it uses.

Carried are imports of the standard library, other plain functions and simple constants, and what these use in turn.
Everything else is refused with an error that names the variable: closures, bound methods, classes, open files, modules
that nodes do not have. Names that only appear at run time (eval, globals()) are not seen. A constant is carried as it
is at the time of the call.

Source comes from where Python's own tracebacks have it, and for `python -c` from the command line. What can go wrong:
no source (the plain prompt before Python 3.13, exec), source that has changed since it was loaded.
"""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import inspect
import io
import json
import linecache
import os
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import _guest
from ._errors import NotCarried

MAX_PROGRAM_BYTES = 8 << 20
LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
STORES = ("STORE_GLOBAL", "DELETE_GLOBAL")
NO_SOURCE = "its source cannot be found: put it into a file or a notebook's cell"


@dataclass(frozen=True)
class Carried:
    """A program for _guest.build(), the names that its imports need, and which file a name in its frames stands for."""

    program: dict[str, Any]
    imports: frozenset[str]
    files: dict[str, str]
    name: str

    def text(self, answer: str = "run") -> str:
        """The program as Python source: what the function imports, what reads the input, what is called. `answer` names
        what of _guest makes the outcomes."""
        hints = "".join(f"    import {name}\n" for name in sorted(self.imports))
        head = "# Made by Meshwork's Python client.\n" + (
            f"if False:  # for the choice of an interpreter\n{hints}" if hints else ""
        )
        text = f"{head}{guest_text()}\n\nmain(json.loads({json.dumps(self.program)!r}), {answer})\n"
        if len(text) > MAX_PROGRAM_BYTES:
            raise NotCarried(
                f"{self.name} and what it uses come to {len(text)} bytes, {MAX_PROGRAM_BYTES} at most are carried: "
                "pass large values as arguments"
            )
        return text


def carry(function: Callable[..., Any]) -> Carried:
    """Errors: NotCarried."""
    return Collection().of(function)


@functools.cache
def guest_text() -> str:
    loader = _guest.__spec__ and _guest.__spec__.loader
    text = loader.get_source(_guest.__name__) if loader is not None and hasattr(loader, "get_source") else None
    if text is None:
        raise NotCarried("the package's own file _guest.py cannot be read: install it again")
    return str(text)


@dataclass
class Collection:
    """What was collected so far, on the way through the functions that use each other."""

    modules: list[dict[str, Any]] = field(default_factory=list)
    functions: list[dict[str, Any]] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)  # Of modules, by the identity of their globals.
    parts: dict[int, dict[str, Any]] = field(default_factory=dict)  # Of functions, by their identity.
    done: set[tuple[int, str]] = field(default_factory=set)

    def of(self, function: Callable[..., Any]) -> Carried:
        name = getattr(function, "__name__", type(function).__name__)
        self.check_entry(function, name)
        place = None if is_plain(function) else place_of(function, name)
        if place is not None:
            self.imports.add(place[0])
            self.functions.append({"bindings": [], "import": list(place)})
        else:
            self.add_function(function, name, name)
        program = {"modules": self.modules, "functions": self.functions}
        return Carried(program, frozenset(self.imports), self.files, name)

    def check_entry(self, function: Callable[..., Any], name: str) -> None:
        plain = inspect.unwrap(function)
        if isinstance(function, functools.partial):
            raise NotCarried(
                "a functools.partial is not carried: write a function, or pass its arguments with the items"
            )
        if isinstance(plain, types.MethodType) and place_of(plain, name) is None:
            raise NotCarried(
                f"{name} is a method of an object, which would have to be carried too: write a plain function"
            )
        if isinstance(plain, type) and place_of(plain, name) is None:
            raise NotCarried(f"{name} is a class: write a function that makes what you need of it")
        if not callable(function):
            raise NotCarried(f"a function is needed, not a value of type {type(function).__name__}")
        if inspect.isasyncgenfunction(plain) or inspect.isgeneratorfunction(plain):
            raise NotCarried(f"{name} is a generator, and a generator does not travel: return a list")
        if inspect.iscoroutinefunction(plain):
            raise NotCarried(f"{name} is a coroutine function: write a plain one; a node has nothing to await")

    # ---- Functions.

    def add_function(self, function: Any, name: str, user: str) -> dict[str, Any]:
        known = self.parts.get(id(function))
        if known is not None:
            return known
        plain = inspect.unwrap(function)
        if not isinstance(plain, types.FunctionType):
            raise NotCarried(
                f"{name} is a {type(function).__name__}, not a plain Python function: write one that calls it", name
            )
        check_closure(plain)
        found = find_source(plain)
        if plain is not function and not found.decorated:
            raise NotCarried(
                f"{name} was wrapped at run time: decorate it where it is defined, or pass the plain function", name
            )
        part = self.parts[id(function)] = {
            "bindings": [],
            "module": self.place(plain.__globals__),
            "file": self.label(plain.__code__.co_filename),
            "source": found.source,
            "line": found.line,
            "lambda": found.is_lambda,
            "defaults": self.defaults(plain, plain.__defaults__ and list(plain.__defaults__)),
            "kwdefaults": self.defaults(plain, plain.__kwdefaults__),
        }
        self.add_uses(plain, part, found.tree)
        self.functions.append(part)
        return part

    def defaults(self, plain: types.FunctionType, values: Any) -> Any:
        try:
            return _guest.to_json(values, f"the defaults of {plain.__name__}'s parameters")
        except (TypeError, ValueError) as error:
            raise NotCarried(f"{plain.__name__} cannot be carried: {error}") from None

    def label(self, file: str) -> str:
        """A name for a file that says nothing of the caller's folders."""
        for label, known in self.files.items():
            if known == file:
                return label
        base = file if file.startswith("<") else os.path.basename(file)
        label, number = base, 2
        while label in self.files:
            label, number = f"{base}:{number}", number + 1
        self.files[label] = file
        return label

    def place(self, space: dict[str, Any]) -> int:
        known = self.places.setdefault(id(space), len(self.modules))
        if known == len(self.modules):
            name = str(space.get("__name__", "__main__"))
            self.modules.append({"name": name, "submodules": [], "imports": {}, "values": {}})
        return known

    # ---- What a function uses.

    def add_uses(self, plain: types.FunctionType, part: dict[str, Any], tree: ast.AST) -> None:
        for name in local_imports(tree, plain.__name__):
            self.imports.add(name)
        for name in global_names(_guest.code_of(part), plain.__name__):
            if name in plain.__globals__:
                self.add_name(plain, part["module"], name, plain.__globals__[name])
            elif not hasattr(builtins, name):
                raise NotCarried(f"{plain.__name__} uses {name}, which is not defined", name)
        for module in submodules_of(tree, plain.__globals__):
            self.imports.add(module)
            submodules = self.modules[part["module"]]["submodules"]
            if module not in submodules:
                submodules.append(module)

    def add_name(self, plain: types.FunctionType, place: int, name: str, value: Any) -> None:
        if (place, name) in self.done:
            return
        self.done.add((place, name))
        module = self.modules[place]
        if isinstance(value, types.ModuleType):
            self.add_import(plain, module, name, (value.__name__, ""))
            return
        origin = place_of(value, name) if callable(value) else None
        if origin is not None:
            self.add_import(plain, module, name, origin)
        elif is_plain(value):
            self.add_function(value, name, plain.__name__)["bindings"].append([place, name])
        else:
            module["values"][name] = constant(plain, name, value)

    def add_import(self, plain: types.FunctionType, module: dict[str, Any], name: str, origin: tuple[str, str]) -> None:
        if not is_standard(origin[0]):
            raise NotCarried(
                f"{plain.__name__} uses the module {name}, and nodes have Python's standard library only: import "
                "from it the functions that are needed, or do that part here",
                name,
            )
        self.imports.add(origin[0])
        module["imports"][name] = list(origin)


def is_plain(value: Any) -> bool:
    """A Python function of the caller's, decorated or not."""
    try:
        plain = inspect.unwrap(value) if callable(value) and not isinstance(value, type) else None
    except ValueError:
        return False
    return isinstance(plain, types.FunctionType) and not is_standard(plain.__module__ or "")


def is_standard(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names and top != "__main__"


def place_of(value: Any, name: str) -> tuple[str, str] | None:
    """Module and attribute under which the standard library has a value."""
    module = getattr(value, "__module__", None) or getattr(getattr(value, "__objclass__", None), "__module__", None)
    attribute = getattr(value, "__qualname__", None) or name
    if not isinstance(module, str) or not is_standard(module):
        return None
    # What is written in C says the name of the C module: functools has its own name for it, in every version.
    for home in (module.lstrip("_"), module):
        for path in (attribute, name):
            found: Any = sys.modules.get(home)
            for step in path.split("."):
                found = getattr(found, step, None)
            if found is value and found is not None:
                return home, path
    return None


def constant(plain: types.FunctionType, name: str, value: Any) -> Any:
    if name.startswith("__") and name not in ("__name__", "__doc__"):
        raise NotCarried(f"{plain.__name__} uses {name}, which means nothing on another machine", name)
    try:
        return _guest.to_json(value, name)
    except (TypeError, ValueError) as error:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        what = "a class" if isinstance(value, type) else f"a value of type {kind}"
        raise NotCarried(
            f"{plain.__name__} uses the variable {name}, which is {what} and cannot be carried ({error}): pass what is "
            "needed of it as an argument, or make it inside the function",
            name,
        ) from None


def check_closure(plain: types.FunctionType) -> None:
    free = plain.__code__.co_freevars
    if "__class__" in free:
        raise NotCarried(f"{plain.__name__} is a method that uses super(): write a plain function", "__class__")
    if free:
        names = ", ".join(free)
        raise NotCarried(
            f"{plain.__name__} is a closure over {names}: pass "
            f"{'it as an argument' if len(free) == 1 else 'them as arguments'}, "
            "or define the function at the top of its module",
            free[0],
        )


# ---- Names in code.


def codes_of(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for item in code.co_consts:
        if isinstance(item, types.CodeType):
            yield from codes_of(item)


def global_names(code: types.CodeType, function: str) -> list[str]:
    """Those of the module that code reads, in order. Code that changes them is refused."""
    names: dict[str, None] = {}
    for part in codes_of(code):
        steps = list(dis.get_instructions(part))
        own = {step.argval for step in steps if step.opname == "STORE_NAME"}
        for step in steps:
            if step.opname in STORES:
                raise NotCarried(
                    f"{function} changes the global variable {step.argval}, and every machine would change its own: "
                    "return the value instead",
                    str(step.argval),
                )
            if step.opname in LOADS and step.argval not in own:
                names[str(step.argval)] = None
    return list(names)


def local_imports(tree: ast.AST, function: str) -> Iterator[str]:
    """Modules that are imported inside a function. One that nodes lack is refused unless the function provides for
    that."""
    guarded = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = ["." if node.level else node.module or "."]
        else:
            continue
        for name in names:
            if is_standard(name):
                yield name
            elif id(node) not in guarded:
                raise NotCarried(f"{function} imports {name}, and nodes have Python's standard library only", name)


def submodules_of(tree: ast.AST, space: dict[str, Any]) -> Iterator[str]:
    """xml.etree.ElementTree, where xml is all that the module's variable names."""
    for node in ast.walk(tree):
        steps: list[str] = []
        while isinstance(node, ast.Attribute):
            steps.append(node.attr)
            node = node.value
        if not steps or not isinstance(node, ast.Name):
            continue
        found: Any = space.get(node.id)
        for step in reversed(steps):
            if not isinstance(found, types.ModuleType) or not is_standard(found.__name__):
                break
            found = getattr(found, step, None)
            if isinstance(found, types.ModuleType) and "." in found.__name__ and is_standard(found.__name__):
                yield found.__name__


# ---- Source.


@dataclass(frozen=True)
class Found:
    source: str
    line: int
    is_lambda: bool
    decorated: bool
    tree: ast.AST


def find_source(plain: types.FunctionType) -> Found:
    code = plain.__code__
    text = file_text(code.co_filename, plain.__globals__)
    try:
        tree = parsed(text)
    except SyntaxError as error:
        raise NotCarried(f"{plain.__name__} cannot be carried: its file is no Python any more ({error})") from None
    if code.co_name == "<lambda>":
        return lambda_source(code, tree, text)
    node = definitions(text).get((code.co_name, code.co_firstlineno))
    if node is None:
        raise stale(plain)
    check_fresh(plain, node)
    line = first_line(node)
    # Not str.splitlines(): that also breaks at characters that are no ends of line in Python.
    source = "".join(io.StringIO(text).readlines()[line - 1 : node.end_lineno])
    return Found(source, line, False, bool(node.decorator_list), node)


@functools.lru_cache(maxsize=64)
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


Definition = ast.FunctionDef | ast.AsyncFunctionDef


@functools.lru_cache(maxsize=64)
def definitions(text: str) -> dict[tuple[str, int], Definition]:
    """Functions by name and first line, decorators included."""
    return {(node.name, first_line(node)): node for node in ast.walk(parsed(text)) if isinstance(node, Definition)}


def first_line(node: Definition) -> int:
    return min([node.lineno, *(item.lineno for item in node.decorator_list)])


def check_fresh(plain: types.FunctionType, node: Definition) -> None:
    code = plain.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    arguments = [item.arg for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    if tuple(arguments) != code.co_varnames[:count]:
        raise stale(plain)


def stale(plain: types.FunctionType) -> NotCarried:
    return NotCarried(
        f"{plain.__name__} is not at line {plain.__code__.co_firstlineno} of {plain.__code__.co_filename} any more: "
        "load it again"
    )


def lambda_source(code: types.CodeType, tree: ast.Module, text: str) -> Found:
    """The innermost lambda of the line that all of the code lies in."""
    spans = [span for span in code.co_positions() if None not in span and span[2:] != (0, 0)]
    candidates = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda)
        and node.lineno == code.co_firstlineno
        and all(lies_in(span, node.body) for span in spans)
    ]
    if not candidates:
        raise NotCarried(f"a lambda cannot be carried: {NO_SOURCE}, or write a function with a name")
    node = min(candidates, key=lambda item: (item.end_lineno or 0, item.end_col_offset or 0))
    source = ast.get_source_segment(text, node) or ""
    return Found(f"({source})", node.lineno, True, False, node)


def lies_in(span: tuple[Any, ...], node: ast.expr) -> bool:
    line, end_line, column, end_column = span
    begins = (node.lineno, node.col_offset) <= (line, column)
    return begins and (end_line, end_column) <= (node.end_lineno or 0, node.end_col_offset or 0)


def file_text(file: str, space: dict[str, Any]) -> str:
    linecache.checkcache(file)
    text = "".join(linecache.getlines(file, space))
    if not text and file == "<string>" and sys.argv[:1] == ["-c"] and space.get("__name__") == "__main__":
        text = command_text(sys.orig_argv)
    if not text:
        raise NotCarried(f"a function of {file} cannot be carried: {NO_SOURCE}")
    return text


def command_text(words: list[str]) -> str:
    """The program of `python -c PROGRAM`, among the interpreter's own options."""
    rest = iter(words[1:])
    for word in rest:
        if word.startswith("--") or not word.startswith("-"):
            continue
        for place, letter in enumerate(word[1:], 2):
            if letter in "cWX":
                value = word[place:] or next(rest, "")
                if letter == "c":
                    return value
                break
    return ""
