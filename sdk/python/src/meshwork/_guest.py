"""Values as text, and how a node calls carried functions: this file is a part of the package and, as text, of every
program that `meshwork._source` makes, so it stands alone and works with Python 3.11 and later.

Values: None, bool, int, float, str, bytes, list, tuple, dict, set and frozenset, nested at most 100 levels deep, and
exactly these types: what else a value would become on the way is not guessed. What JSON lacks is written as an object
with the key "$". The same value always has the same text, so that verifiers agree.

What can go wrong: TypeError and ValueError say which part of a value does not travel; decode() takes hostile text and
raises ValueError for whatever encode() does not write.
"""

import ast
import base64
import json
import math
import sys
from typing import Any

MAX_DEPTH = 100
MAX_DECIMAL_BITS = 8192  # Above it an integer is written in hexadecimal, which every interpreter reads at any length.
MAX_MESSAGE = 10_000
MAX_FRAMES = 64
MAX_CHAIN = 8
TAG = "$"


class DoesNotTravel(TypeError):
    """A value of a type that the encoding lacks."""


def dumps(value: Any) -> str:
    return json.dumps(to_json(value), separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    return from_json(load_json(text))


def load_json(text: str) -> Any:
    """JSON as to_json() makes it: no NaN, and no number that rounds to infinity."""
    try:
        return json.loads(text, parse_constant=refuse_number, parse_float=finite)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep") from None


def refuse_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:32]} is too large")
    return value


def to_json(value: Any, where: str = "the value", depth: int = 0) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if value.bit_length() <= MAX_DECIMAL_BITS else {TAG: "int", "hex": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {TAG: "float", "text": repr(value)}
    if kind is bytes:
        return {TAG: "bytes", "base64": base64.b64encode(value).decode("ascii")}
    if kind not in (list, tuple, dict, set, frozenset):
        raise DoesNotTravel(
            f"{where} is of type {kind.__module__}.{kind.__qualname__}, which does not travel{advice(value)}"
        )
    if depth >= MAX_DEPTH:
        raise ValueError(f"{where} is nested more than {MAX_DEPTH} levels deep, or contains itself")
    if kind is dict:
        return dict_to_json(value, where, depth)
    if kind in (set, frozenset):
        parts = [to_json(item, f"an item of {where}", depth + 1) for item in value]
        parts.sort(key=lambda part: json.dumps(part, separators=(",", ":")))
        return {TAG: kind.__name__, "items": parts}
    items = [to_json(item, f"{where}[{place}]", depth + 1) for place, item in enumerate(value)]
    return items if kind is list else {TAG: "tuple", "items": items}


def dict_to_json(value: dict[Any, Any], where: str, depth: int) -> Any:
    for key in value:
        if type(key) is not str:
            raise DoesNotTravel(
                f"a key of {where} is of type {type(key).__name__}: only str keys travel; use list(d.items())"
            )
    parts = {key: to_json(item, f"{where}[{key[:32]!r}]", depth + 1) for key, item in value.items()}
    return {TAG: "dict", "items": list(map(list, parts.items()))} if TAG in parts else parts


def advice(value: Any) -> str:
    """The way out, for types that are met often."""
    for base in (bool, int, float, str, bytes, list, tuple, dict):
        if isinstance(value, base):
            return f": use {base.__name__}(...)"
    if isinstance(value, (bytearray, memoryview)):
        return ": use bytes(...)"
    if hasattr(value, "__next__"):
        return ": use list(...)"
    if hasattr(value, "tolist"):
        return ": use its tolist()"
    return ": use None, bool, int, float, str, bytes, list, tuple, dict or set"


def from_json(value: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    kind = type(value)
    if kind is list:
        return [from_json(item, depth + 1) for item in value]
    if kind is not dict:
        return value
    if TAG not in value:
        return {key: from_json(item, depth + 1) for key, item in value.items()}
    return tagged(value, depth)


def tagged(value: dict[str, Any], depth: int) -> Any:
    tag = value[TAG]
    fields = {key: item for key, item in value.items() if key != TAG}
    if tag == "int" and set(fields) == {"hex"} and type(fields["hex"]) is str:
        return int(fields["hex"], 16)
    if tag == "float" and set(fields) == {"text"} and fields["text"] in ("nan", "inf", "-inf"):
        return float(fields["text"])
    if tag == "bytes" and set(fields) == {"base64"} and type(fields["base64"]) is str:
        return base64.b64decode(fields["base64"], validate=True)
    if set(fields) == {"items"} and type(fields["items"]) is list:
        items = [from_json(item, depth + 1) for item in fields["items"]]
        if tag == "tuple":
            return tuple(items)
        if tag in ("set", "frozenset"):
            return collected(items, tag)
        if tag == "dict" and all(type(item) is list and len(item) == 2 and type(item[0]) is str for item in items):
            return dict(items)
    raise ValueError(f"{str(tag)[:32]!r} is no kind of value, or lacks its parts")


def collected(items: list[Any], tag: str) -> Any:
    try:
        return set(items) if tag == "set" else frozenset(items)
    except TypeError as error:
        raise ValueError(f"a {tag} cannot hold its items: {error}") from None


# ---- What a node does with a program and its input.
#
# A program: {"modules": [{"name", "submodules", "imports": {name: [module, attribute]}, "values": {name: value}}],
# "functions": [{"bindings": [[module, name], ...], and "import": [module, attribute], or "module", "file", "source",
# "line", "lambda", "defaults" and "kwdefaults"}]}. A function comes after those that its decorators name; the last one
# is called.


def build(program: dict[str, Any]) -> Any:
    """The function that a program calls. Each module of the caller's is a namespace of its own."""
    spaces = []
    for module in program["modules"]:
        space = {"__name__": module["name"], "__builtins__": __builtins__}
        for name in module["submodules"]:
            __import__(name)
        space.update({name: imported(*place) for name, place in module["imports"].items()})
        space.update({name: from_json(value) for name, value in module["values"].items()})
        spaces.append(space)
    function = None
    for part in program["functions"]:
        function = imported(*part["import"]) if "import" in part else compiled(part, spaces[part["module"]])
        for place, name in part["bindings"]:
            spaces[place][name] = function
    return function


def imported(module: str, attribute: str) -> Any:
    __import__(module)
    value: Any = sys.modules[module]
    for step in attribute.split(".") if attribute else ():
        value = getattr(value, step)
    return value


def compiled(part: dict[str, Any], space: dict[str, Any]) -> Any:
    """A function from its source; the caller's values stand for the expressions of its defaults."""
    code = code_of(part)
    if part["lambda"]:
        function = eval(code, space)
    else:
        scratch: dict[str, Any] = {}
        exec(code, space, scratch)
        (function,) = scratch.values()
    plain = function
    while hasattr(plain, "__wrapped__"):
        plain = plain.__wrapped__
    defaults = from_json(part["defaults"])
    plain.__defaults__ = None if defaults is None else tuple(defaults)
    plain.__kwdefaults__ = from_json(part["kwdefaults"])
    return function


def code_of(part: dict[str, Any]) -> Any:
    """What defines a function, at the lines that it has in the caller's file. Annotations are left out: what they name
    need not be here."""
    source, line = part["source"], part["line"]
    is_indented = source[:1] in (" ", "\t")
    before = "\n" * (line - 2) + "if 1:\n" if is_indented else "\n" * (line - 1)
    tree = ast.parse(before + source, part["file"])
    node: Any = tree.body[0]
    if is_indented:
        (node,) = tree.body = node.body
    for inner in ast.walk(node):
        if isinstance(inner, ast.arg):
            inner.annotation = None
        elif isinstance(inner, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inner.returns = None
    if part["lambda"]:
        node = node.value
    node.args.defaults = [none_at(item) for item in node.args.defaults]
    node.args.kw_defaults = [item and none_at(item) for item in node.args.kw_defaults]
    if part["lambda"]:
        return compile(ast.Expression(node), part["file"], "eval", dont_inherit=True)
    return compile(tree, part["file"], "exec", dont_inherit=True)


def none_at(node: Any) -> Any:
    return ast.copy_location(ast.Constant(None), node)


def described(error: BaseException | None) -> list[dict[str, Any]]:
    """An exception and what it came of, as data: for each its type, text and frames, outermost first."""
    chain: list[dict[str, Any]] = []
    link = ""
    while error is not None and len(chain) < MAX_CHAIN:
        kind = type(error)
        plain = kind.__module__ in ("builtins", __name__)
        name = kind.__qualname__ if plain else f"{kind.__module__}.{kind.__qualname__}"
        chain.append({"type": name, "message": message_of(error), "frames": frames_of(error), "link": link})
        if error.__cause__ is not None:
            error, link = error.__cause__, "cause"
        elif error.__context__ is not None and not error.__suppress_context__:
            error, link = error.__context__, "context"
        else:
            error = None
    return chain


def message_of(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except Exception:
        return "<its text cannot be had>"


def frames_of(error: BaseException) -> list[list[Any]]:
    """File, line and function of each frame but those of this file, which nobody asked for."""
    frames: list[list[Any]] = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename != frames_of.__code__.co_filename:
            frames.append([code.co_filename, step.tb_lineno or 0, code.co_name])
        step = step.tb_next
    return frames if len(frames) <= MAX_FRAMES else frames[: MAX_FRAMES // 2] + frames[-MAX_FRAMES // 2 :]


def outcome_of(function: Any, call: list[Any]) -> list[Any]:
    """[0, value] or [1, exception]."""
    try:
        args, kwargs = call
        return [0, to_json(function(*args, **kwargs), "the result")]
    except BaseException as error:
        return [1, described(error)]


def run(program: dict[str, Any], text: str) -> list[list[Any]]:
    """The outcomes of an input's calls. An input is {"calls": [[args, kwargs], ...], "go_on": whether those after an
    exception are made, too}."""
    return outcomes_of(program, loads(text))


def fold(program: dict[str, Any], text: str) -> list[list[Any]]:
    """The outcome of one call, with all values that the parts of a job came to: a line for each part, as main() wrote
    it."""
    values = [from_json(value) for line in text.splitlines() for _, value in load_json(line)]
    return outcomes_of(program, {"calls": [[[values], {}]], "go_on": False})


def outcomes_of(program: dict[str, Any], request: dict[str, Any]) -> list[list[Any]]:
    try:
        function = build(program)
    except BaseException as error:
        # As if the first call had raised it.
        return [[1, described(error)]] * (len(request["calls"]) if request["go_on"] else 1)
    outcomes = []
    for call in request["calls"]:
        outcomes.append(outcome_of(function, call))
        if outcomes[-1][0] and not request["go_on"]:
            break
    return outcomes


def main(program: dict[str, Any], answer: Any = run) -> None:
    """The program on a node: the input on stdin, the outcomes on stdout, what the function prints on stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    outcomes = answer(program, sys.stdin.buffer.read().decode("ascii"))
    sys.stdout = out
    failed = [error for kind, error in outcomes if kind]
    if failed:
        # For those who read the log: the first exception, as it is.
        for link in failed[0]:
            frames = "".join(f"  File {file!r}, line {line}, in {name}\n" for file, line, name in link["frames"])
            sys.stderr.write(f"Traceback (most recent call last):\n{frames}{link['type']}: {link['message']}\n")
    out.write(json.dumps(outcomes, separators=(",", ":")))
    out.flush()
    sys.exit(1 if failed else 0)
