"""Values travel exactly, or are refused; calls are put together, and outcomes are checked."""

import json
import math
import os
import sys
from collections import Counter, namedtuple
from types import SimpleNamespace

import pytest

import meshwork
from meshwork import _guest
from meshwork._calls import Outcomes, chunk_size, parts_of
from meshwork._folder import packed
from meshwork._progress import Progress, line_of
from meshwork._tasks import ProgramFolder, function_of, input_bytes, program_of, task_of
from meshwork._views import JobStatus, Shard, read


def carry_over(value):
    return _guest.loads(_guest.dumps(value))


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63, -(10**5000), 1 << 100_000, 0.1, -0.0, 5e-324, 1.7e308, math.inf, -math.inf, "",
        "\ud800", "\x00\u202e<script>", b"", b"\xff\x00", [], [1, [2]], (), (1, (2,)), {}, {"a": {"b": (1,)}},
        {"$": "int"},
        {"$": {"$": 1}}, {1, "a", (2,)}, frozenset({1}), [True, 1, 1.0],
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "number",
)  # fmt: skip
def test_a_value_comes_over_as_it_is(value):
    back = carry_over(value)
    assert back == value
    assert type(back) is type(value)
    assert math.copysign(1, back) == math.copysign(1, value) if isinstance(value, float) else True


def test_nan_comes_over():
    assert math.isnan(carry_over(math.nan))


def test_equal_sets_have_equal_texts():
    assert _guest.dumps({"b", "a", "c"}) == _guest.dumps({"c", "b", "a"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1: 2}, "only str keys"),
        (Counter("a"), r"use dict\(...\)"),
        (namedtuple("P", "x")(1), r"use tuple\(...\)"),
        (bytearray(b"x"), r"use bytes\(...\)"),
        (iter([1]), r"use list\(...\)"),
        ([object()], r"\[0\] is of type builtins.object"),
        (1j, "complex"),
    ],
)
def test_what_does_not_travel_says_what_to_use(value, text):
    with pytest.raises(meshwork.DoesNotTravel, match=text):
        _guest.dumps(value)


def test_depth_and_cycles_are_bounded():
    cycle = []
    cycle.append(cycle)
    with pytest.raises(ValueError, match="contains itself"):
        _guest.dumps(cycle)
    with pytest.raises(ValueError, match="levels deep"):
        _guest.loads("[" * 150 + "]" * 150)
    with pytest.raises(ValueError, match="levels deep"):
        _guest.loads("[" * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "NaN", "Infinity", "1e400", "[1e999]", '{"$":"int"}', '{"$":"int","hex":5}', '{"$":"int","hex":"zz"}',
        '{"$":"float","text":"1"}', '{"$":"bytes","base64":"*"}', '{"$":"set","items":[[1]]}',
        '{"$":"dict","items":[[1,2]]}',
        '{"$":[1],"items":[]}', '{"$":"tuple","items":[],"more":1}', "9" * 5000,
    ],
)  # fmt: skip
def test_hostile_text_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        _guest.loads(text)


def test_calls_are_put_together_by_count_and_by_size():
    calls = [((i,), {}) for i in range(10)]
    parts = parts_of(calls, 4, False)
    assert [(part.first, part.count) for part in parts] == [(0, 4), (4, 4), (8, 2)]
    assert _guest.loads(parts[1].text.decode()) == {"calls": [[[i], {}] for i in range(4, 8)], "go_on": False}
    assert [part.count for part in parts_of([(("x" * (3 << 20),), {})] * 3, 100, True)] == [1, 1, 1]
    assert parts_of([], 4, False) == []


def test_a_call_that_cannot_be_sent_is_named():
    with pytest.raises(meshwork.DoesNotTravel, match="call 1 cannot be sent"):
        parts_of([((1,), {}), ((object(),), {})], 4, False)


def test_chunks_are_few_and_enough():
    node = SimpleNamespace(cores=2, accepts_work=True)
    idle = SimpleNamespace(cores=64, accepts_work=False)
    assert chunk_size(1000, [node] * 5 + [idle, None]) == 25
    assert chunk_size(3, [node]) == 1
    assert chunk_size(100_000, []) == 1000
    assert chunk_size(10**6, [node] * 1000) == 1000


JOB = {
    "id": "job", "label": "l", "phase": "running", "ended": False, "failure": "", "unverified": False, "shards": 4,
    "finished": 0, "running": 3, "verifying": 1, "failed_outcomes": 0, "function": "f", "inputs": "i", "reduce": None,
    "reduce_job": None, "result": None, "fee": 0, "verifiers": None, "sample_per_mille": 1000, "sealed": False,
    "checked": 0,
    "fuel": 0, "created": "", "elapsed_ms": None, "notes": [], "escrow": None,
}  # fmt: skip


def shard(result="cid", **outcome):
    usual = {
        "kind": "exited", "exit_code": 0, "trap": "", "backtrace": [], "detail": "", "succeeded": True, "text": "ok",
    }  # fmt: skip
    return read(
        Shard,
        {
            "shard": 0, "state": "accepted", "worker": None, "decision": "accepted", "result": result, "log": None,
            "fuel": 1,
            "outcome": {**usual, **outcome}, "seats": [], "story": [],
        },
        "shard",
    )  # fmt: skip


def outcomes(files=None):
    parts = parts_of([((i,), {}) for i in range(2)], 2, False)
    return Outcomes(SimpleNamespace(name="f", files=files or {}), parts, "job")


@pytest.mark.parametrize(
    "result",
    [
        b"", b"\xff", b"[]", b"{}", b"5", b"[[0,1]]", b"[[0,1],[0,2],[0,3]]", b"[[2,1],[0,1]]", b"[[0],[0,1]]",
        b"[[0,NaN],[0,1]]",
        b"[[1,[]]]", b'[[1,[{"type":1}]]]', b'[[1,[{"type":"E","message":"","link":"","frames":[[1,2,3]]}]]]',
        b"[[true,1],[0,1]]",
        b'[[1,[{"type":"E","message":"","link":"","frames":[]},{"type":"E","message":"","link":"odd","frames":[]}]]]',
    ],
)  # fmt: skip
def test_a_result_that_the_program_does_not_write_is_a_protocol_error(result):
    with pytest.raises(meshwork.ProtocolError):
        outcomes().of(shard(), result, False)


def test_an_exception_is_shown_without_controls_and_without_other_files(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text("password\n")
    link = {
        "type": "E",
        "message": "\x1b[31m\u202ered",
        "link": "",
        "frames": [[str(secret), 1, "f"], ["mine.py", 1, "f"]],
    }
    cause = {**link, "type": "Cause", "link": "cause"}
    mine = tmp_path / "mine.py"
    mine.write_text("my_line()\n")
    text = json.dumps([[1, [link, cause]]]).encode()
    ((good, error),) = outcomes({"mine.py": str(mine)}).of(shard(exit_code=1, succeeded=False), text, False)
    assert not good
    assert "\x1b" not in str(error)
    assert "\u202e" not in error.traceback
    assert "password" not in str(error)
    assert "my_line()" in error.traceback
    assert error.traceback.index("Cause") < error.traceback.index("direct cause")


def test_a_part_that_was_ended_names_its_items():
    ((good, error),) = outcomes().of(shard(kind="out-of-fuel", succeeded=False, text="out of fuel"), b"", False)
    assert not good
    assert "items 0 to 1" in str(error)
    assert error.index is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fees": 1}, "there is no option fees"),
        ({"fee": -1}, "fee must be"),
        ({"fee": 1.5}, "fee must be"),
        ({"verifiers": True}, "verifiers must be"),
        ({"sample": 0}, "sample must be"),
        ({"sample": math.nan}, "sample must be"),
        ({"timeout": 0}, "limit of total"),
        ({"timeout": math.inf}, "limit of total"),
        ({"limits": {"nap": 1}}, "no phase 'nap'"),
    ],
)
def test_options_are_checked(options, text):
    with pytest.raises((TypeError, ValueError), match=text):
        task_of(options, "label")


def test_options_become_a_task():
    task = task_of({"fee": 5, "sample": 0.1, "timeout": 1.5, "limits": {"bid": 1}, "label": "\u00e4" * 100}, "x")
    assert task == {
        "label": "\u00e4" * 64, "fee": 5, "sample_per_mille": 100, "limits": {"total_ms": 1500}, "bid_window_ms": 1000,
    }  # fmt: skip


def test_programs_and_inputs_are_checked(tmp_path):
    with pytest.raises(ValueError, match="must end with"):
        function_of(tmp_path / "x.txt", [])
    with pytest.raises(FileNotFoundError):
        function_of(tmp_path / "x.py", [])
    with pytest.raises(TypeError, match="list of str"):
        function_of(tmp_path / "x.py", "abc")
    with pytest.raises(TypeError, match="an input must be"):
        input_bytes(5)
    assert [input_bytes("a"), input_bytes(b"b"), input_bytes({"c": 1})] == [b"a", b"b", b'{"c": 1}']


def test_a_folder_is_packed_as_others_pack_it(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("main.py", "sub/b", ".hidden", "__pycache__"):
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("main.py")
    (tmp_path / "large").write_bytes(b"x" * (2 << 20) + b"y")
    os.mkfifo(tmp_path / "pipe")
    content = packed(tmp_path)
    # As a node names main.py, sub and large without the others.
    assert content.cid == "bafybeihlfa5u4a27s7fqof5awfzm6an77yge6jk2firzvdarbsqtfswhai"
    assert len(content.blocks) == 7
    ((car),) = content.cars()
    assert all(cid in car and block in car for cid, block in content.blocks.items())


def test_a_folder_has_bounds(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_text(name * 10)
    monkeypatch.setattr("meshwork._folder.MAX_FILES", 2)
    with pytest.raises(ValueError, match="more than 2 files"):
        packed(tmp_path)
    monkeypatch.setattr("meshwork._folder.MAX_FILES", 3)
    monkeypatch.setattr("meshwork._folder.CAR_BYTES", 1)
    assert len(list(packed(tmp_path).cars())) == 4
    monkeypatch.setattr("meshwork._folder.MAX_BYTES", 29)
    with pytest.raises(ValueError, match="holds more than"):
        packed(tmp_path)
    monkeypatch.setattr("meshwork._folder.MAX_BYTES", 30)
    (tmp_path / "d/d/d").mkdir(parents=True)
    monkeypatch.setattr("meshwork._folder.MAX_DEPTH", 2)
    with pytest.raises(ValueError, match="nested more than 2"):
        packed(tmp_path)


def test_the_program_of_a_folder_must_be_known(tmp_path):
    with pytest.raises(ValueError, match="holds no main"):
        program_of(tmp_path, [])
    (tmp_path / "main.py").write_text("")
    (tmp_path / "main.js").write_text("")
    with pytest.raises(ValueError, match=r"main\.py and main\.js"):
        program_of(tmp_path, [])
    function, _ = program_of(ProgramFolder(tmp_path, "main.js"), ["x"])
    assert (function["language"], function["script"], function["args"]) == ("javascript", "main.js", ["x"])
    with pytest.raises(FileNotFoundError):
        program_of(ProgramFolder(tmp_path, "other.py"), [])
    (tmp_path / ".hidden.py").write_text("")
    (tmp_path / "link.py").symlink_to("main.py")
    for name in (".hidden.py", "link.py", f"../{tmp_path.name}/main.py"):
        with pytest.raises(ValueError, match="does not go along"):
            program_of(ProgramFolder(tmp_path, name), [])


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


class Notebook:
    """As much of IPython as shows a line."""

    def __init__(self, fails=False):
        self.lines = []
        self.displays = 0
        self.fails = fails

    def display(self, data, raw, display_id):
        self.displays += 1
        self.update(data, raw)
        return self

    def update(self, data, raw):
        if self.fails:
            raise RuntimeError("the front end is gone")
        self.lines.append(data["text/plain"])


@pytest.fixture
def notebook(monkeypatch):
    notebook = Notebook()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=notebook.display))
    return notebook


def test_progress_in_a_notebook_is_one_output_that_ends_complete(notebook):
    with Progress(None) as progress:
        progress.show(read(JobStatus, JOB, "job"))
        progress.finish(read(JobStatus, JOB, "job"))
    assert notebook.displays == 1
    assert [line.partition("] ")[2] for line in notebook.lines] == ["0/4, 3 running, 1 verifying", "4/4, done"]


def test_a_notebook_that_cannot_show_does_not_end_the_wait(notebook):
    notebook.fails = True
    with Progress(None) as progress:
        progress.show(read(JobStatus, JOB, "job"))
        progress.show(read(JobStatus, JOB, "job"))
    assert notebook.displays == 1


def test_progress_is_one_line_that_a_label_cannot_break():
    status = SimpleNamespace(
        finished=1, shards=2, phase="running", running=1, verifying=0, failed_outcomes=0, label="a\nb\x1b[1m", id="x"
    )
    line = line_of(status)
    assert "1/2" in line
    assert line.isprintable()
    terminal = Terminal()
    with Progress(None, terminal) as progress:
        progress.show(status)
        progress.show(status)
    assert terminal.text.count("\r") == 2
    assert terminal.text.endswith("\n")
    silent = Terminal()
    with Progress(False, silent) as progress:
        progress.show(status)
    assert silent.text == ""
