"""What runs when the snapshot is made, and in it: the interpreter is started and the library imported once, at build
time; `exec` then runs one program as `python SCRIPT ARGUMENTS...` would.

What is imported here is all of the standard library that a program can use without the full interpreter. Modules that
need what a sandbox has not (processes, threads, sockets, terminals) are here too where they import, and say so when they
are used, as they do in the full interpreter.
"""

import sys

sys.dont_write_bytecode = True  # There is nowhere to write it, and its header would hold the times of the build's files.

import os  # noqa: E402

# Not imported: demonstrations, graphics, the interpreter's own tools, and what opens a browser.
LEFT_OUT = {"__pycache__", "_pyrepl", "antigravity", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "this",
            "tkinter", "turtle", "turtledemo", "venv"}  # fmt: skip


def library_names():
    """All modules of the standard library, by the files there are and by the interpreter's own list."""
    known = set(sys.stdlib_module_names)
    for place in sys.path:
        if not os.path.isfile(os.path.join(place, "json", "__init__.py")):
            continue
        for folder, folders, files in os.walk(place):
            folders[:] = sorted(name for name in folders if name not in LEFT_OUT and name.isidentifier())
            inside = os.path.relpath(folder, place)
            package = "" if inside == "." else inside.replace("/", ".") + "."
            known.update(package + name[:-3] for name in files if name.endswith(".py") and name[:-3].isidentifier())
            known.update(package + name for name in folders)
    left_out = LEFT_OUT | {"__hello__", "__main__", "__phello__"}
    return sorted(
        name
        for name in known
        if name.partition(".")[0] in sys.stdlib_module_names and not left_out.intersection(name.split("."))
        and not name.endswith("__init__")
    )


def import_library():
    """What is imported by name at run time, such as _strptime and the encodings, is here with the rest."""
    names = library_names()
    for name in names:
        try:
            __import__(name)
        except Exception:  # noqa: S110
            pass  # Not on this platform; a program that imports it gets the same error.
    return {
        "modules": [name for name in sorted(sys.modules) if name.partition(".")[0] in sys.stdlib_module_names],
        "missing": [name for name in sorted({*names, *LEFT_OUT}) if name not in sys.modules],
    }


LIBRARY = import_library()

import atexit  # noqa: E402
import gc  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import linecache  # noqa: E402
import random  # noqa: E402
import site  # noqa: E402
import traceback  # noqa: E402
import types  # noqa: E402
import warnings  # noqa: E402

import wit_world  # noqa: E402

# Found in the finished component by scripts/runtimes.mjs, which puts the list into the catalogue.
LIBRARY_TEXT = f"mesh-library:{json.dumps(LIBRARY)}:mesh-library".encode()

# Of the tool that makes the snapshot; a program's own module of such a name shall not be hidden.
TOOL_MODULES = (
    "componentize_py_async_support", "componentize_py_async_support.futures", "componentize_py_async_support.streams",
    "componentize_py_runtime", "componentize_py_types", "wit_world",
)

HINT = (
    "note: {name} is not among the modules of the pre-started interpreter; "
    "run the program with --runtime python-full to use the full one.\n"
)


def standard_streams():
    """stdin, stdout and stderr as the full interpreter opens them."""

    def opened(descriptor, mode):
        raw = io.FileIO(descriptor, mode, closefd=False)
        return io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)

    sys.stdin = sys.__stdin__ = io.TextIOWrapper(opened(0, "r"), "utf-8", "surrogateescape")
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(opened(1, "w"), "utf-8", "surrogateescape")
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(opened(2, "w"), "utf-8", "backslashreplace", line_buffering=True)
    for stream, name in ((sys.stdin, "<stdin>"), (sys.stdout, "<stdout>"), (sys.stderr, "<stderr>")):
        stream.buffer.raw.name = name
        stream.mode = "r" if stream is sys.stdin else "w"


def show(error):
    """An uncaught exception, without the frames of this file."""
    shown = error.__traceback__
    while shown is not None and shown.tb_frame.f_code.co_filename == __file__:
        shown = shown.tb_next
    error = error.with_traceback(shown)
    try:
        sys.excepthook(type(error), error, shown)
    except BaseException:
        traceback.print_exception(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top in sys.stdlib_module_names:
            sys.stderr.write(HINT.format(name=error.name))


def exit_code(error):
    """What sys.exit(...) makes of its argument."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFFFFFFFF
    sys.stdout.flush()
    print(code, file=sys.stderr)
    return 1


def run(program, path):
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        sys.stderr.write(f"python: can't open file '{path}': [Errno {error.errno}] {error.strerror}\n")
        return 2
    try:
        exec(compile(source, path, "exec", dont_inherit=True), program.__dict__)
    except SystemExit as error:
        return exit_code(error)
    except BaseException as error:
        show(error)
        return 1
    return 0


class WitWorld(wit_world.WitWorld):
    def exec(self, args, env):
        for name in TOOL_MODULES:
            sys.modules.pop(name, None)
        os.environ.clear()
        os.environ.update(env)
        sys.argv = args[1:]
        sys.orig_argv = list(args)
        path = sys.argv[0] if sys.argv else ""
        sys.path = [os.path.dirname(path) or "/"]
        standard_streams()
        random.seed()
        program = types.ModuleType("__main__")
        program.__file__ = path
        program.__builtins__ = __builtins__
        program.__cached__ = None
        sys.modules["__main__"] = program
        code = run(program, path)
        # As Py_Finalize does: exit handlers, then what the program holds, then the last of its output.
        atexit._run_exitfuncs()
        program.__dict__.clear()
        gc.collect()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):
                code = code or 120
        return code


def overwrite_free_memory():
    """Freed memory and stack hold times and numbers of the build's files; they are put to other use once, so that the same
    sources give the same bytes."""

    def deep(depth):
        return [deep(depth - 1)] if depth else []

    repr(deep(150))
    held = [bytes(size - 33) for size in range(48, 513, 16) for _ in range(24_576 // size)]
    held += [bytes(size) for size in (600, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000) for _ in range(12)]
    del held


def settle():
    """Leaves nothing of the build behind, and nothing that would make the first call slower than the next."""
    site.setquit()
    site.setcopyright()
    site.sethelper()
    os.environ.clear()
    sys.path = []
    sys.path_importer_cache.clear()
    sys.executable = sys._base_executable = ""
    linecache.clearcache()
    warnings.resetwarnings()
    gc.collect()
    overwrite_free_memory()
    gc.collect()
    gc.freeze()


settle()
