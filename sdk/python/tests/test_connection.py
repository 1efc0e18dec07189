"""Nodes that answer badly, late or not at all: a local server plays them."""

import base64
import hashlib
import inspect
import json
import os
import queue
import socketserver
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import meshwork
from meshwork._endpoint import Endpoint
from meshwork._logs import log_line
from meshwork._views import Node, read

JOB = {
    "id": "job", "label": "", "phase": "running", "ended": False, "failure": "", "unverified": False, "shards": 1,
    "finished": 0, "running": 1, "verifying": 0, "failed_outcomes": 0, "function": "f", "inputs": "i", "reduce": None,
    "reduce_job": None, "result": None, "fee": 0, "verifiers": None, "sample_per_mille": 1000, "sealed": False,
    "checked": 0, "fuel": 0, "created": "",
    "elapsed_ms": None, "notes": [], "escrow": None,
}  # fmt: skip
DONE = {**JOB, "phase": "done", "ended": True, "finished": 1}


class Fake:
    """Answers each request by `answers`: (status, media type, body), or a function of the handler."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.sockets = queue.Queue()  # What each WebSocket says in its turn: a list of messages, then the end.
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                fake.requests.append((self.command, self.path, self.headers.get("Authorization")))
                path = self.path.partition("?")[0]
                if path == "/api/v1/events":
                    return speak(self, fake.sockets)
                answer = fake.answers[path]
                answer = answer.pop(0) if isinstance(answer, list) and len(answer) > 1 else answer
                answer = answer[0] if isinstance(answer, list) else answer
                if callable(answer):
                    return answer(self)
                return reply(self, *answer)

            do_GET = do_POST = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def end(self):
        self.sockets.put(None)
        self.server.shutdown()
        self.thread.join()
        socketserver.TCPServer.server_close(self.server)


def reply(handler, status, kind, body):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def as_json(value, status=200):
    return status, "application/json", json.dumps(value).encode()


def problem(status, **fields):
    return status, "application/problem+json", json.dumps({"title": "No", "status": status, **fields}).encode()


def cut(handler):
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"a":')
    handler.close_connection = True


def gone(handler):
    handler.close_connection = True


def speak(handler, sockets):
    """As much of RFC 6455 as an event stream needs: text frames, then the connection is cut."""
    messages = sockets.get()
    if messages is None or isinstance(messages, tuple):
        return reply(handler, *(messages or problem(503, detail="no more")))
    key = handler.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
    handler.send_header("Sec-WebSocket-Protocol", "meshwork.v1")
    handler.end_headers()
    for message in messages:
        if callable(message):
            message()
            continue
        data = (message if isinstance(message, str) else json.dumps(message)).encode()
        head = bytes([0x81, len(data)]) if len(data) < 126 else bytes([0x81, 126]) + len(data).to_bytes(2, "big")
        handler.wfile.write(head + data)
        handler.wfile.flush()
    handler.close_connection = True
    return None


@pytest.fixture
def fake():
    server = Fake()
    yield server
    server.end()


@pytest.fixture
def mesh(fake):
    with meshwork.Mesh(url=fake.url, token="secret", patience=5) as mesh:
        yield mesh


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, meshwork.Invalid), (401, meshwork.Unauthorized), (403, meshwork.Forbidden), (404, meshwork.NotFound),
        (409, meshwork.Conflict), (413, meshwork.Exhausted), (429, meshwork.Exhausted), (500, meshwork.NodeFailed),
        (501, meshwork.Unsupported), (503, meshwork.Unavailable), (504, meshwork.ApiTimedOut), (507,
        meshwork.Exhausted),
    ],
)  # fmt: skip
def test_a_refusal_is_an_exception_of_its_cause(fake, mesh, status, kind):
    fake.answers["/x"] = problem(status, detail="because \x1b[31m", code="why", candidates=["a", 5])
    with pytest.raises(kind, match="because") as caught:
        mesh.request("GET", "/x")
    error = caught.value
    assert (error.status, error.code, error.title, error.candidates) == (status, "why", "No", ["a"])
    assert "\x1b" not in str(error)
    assert isinstance(error, meshwork.ApiError)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, "application/json", b"{"), meshwork.ProtocolError),
        ((200, "application/json", b"\xff"), meshwork.ProtocolError),
        ((200, "application/json", b"[1e400]"), meshwork.ProtocolError),
        ((200, "application/json", b"[NaN]"), meshwork.ProtocolError),
        ((200, "application/json", b"[" * 100_000), meshwork.ProtocolError),
        ((404, "text/html", b"<html>"), meshwork.ProtocolError),
        ((502, "text/html", b"<html>"), meshwork.NodeFailed),
        ((302, "text/html", b""), meshwork.ProtocolError),
        (cut, meshwork.NodeUnreachable),
        (gone, meshwork.NodeUnreachable),
    ],
)
def test_an_answer_that_no_node_gives_is_an_error(fake, mesh, answer, error):
    fake.answers["/x"] = answer
    with pytest.raises(error):
        mesh.request("GET", "/x")


def test_any_route_can_be_asked(fake, mesh):
    fake.answers["/bytes"] = (200, "application/octet-stream", b"\x00\xff")
    fake.answers["/json"] = as_json({"a": 1})
    assert mesh.request("GET", "/bytes", query={"a": "b c", "d": None}) == b"\x00\xff"
    assert mesh.request("POST", "/json", json={"x": 1}) == {"a": 1}
    assert fake.requests[0] == ("GET", "/bytes?a=b+c", "Bearer secret")
    with pytest.raises(ValueError, match="begins with a slash"):
        mesh.request("GET", "http://elsewhere/")


def test_views_are_checked():
    with pytest.raises(meshwork.ProtocolError, match=r"lacks node\.peer"):
        read(Node, {}, "node")
    with pytest.raises(meshwork.ProtocolError, match=r"node\.peer is not text"):
        read(Node, {"peer": 5}, "node")
    with pytest.raises(meshwork.ProtocolError, match="not an object"):
        read(Node, [], "node")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"shard":"0","peer":null,"data":"m"}',
        b'{"shard":0,"peer":null,"data":"m*"}',
    ],
)
def test_a_line_of_a_log_is_checked(line):
    with pytest.raises(meshwork.ProtocolError):
        log_line(line)
    assert log_line(b'{"shard":0,"peer":null,"data":"mYQ"}').data == b"a"


def chunked(*pieces, whole=True):
    """Log lines in a body that comes bit by bit, and perhaps never ends."""

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/x-ndjson")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for shard, data, *peer in pieces:
            text = "m" + base64.b64encode(data).decode().rstrip("=")
            body = json.dumps({"shard": shard, "peer": peer[0] if peer else None, "data": text}).encode() + b"\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        if whole:
            handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True

    return answer


def log_of(mesh, **options):
    """Of each part, all that was handed on."""
    text = {}
    for line in mesh.job("job").logs(**options):
        text[line.shard] = text.get(line.shard, b"") + line.data
    return text


LOGS = "/api/v1/tasks/job/logs"


def test_a_log_that_is_cut_goes_on_where_it_was(fake, mesh):
    fake.answers["/api/v1/tasks/job"] = as_json(JOB)
    fake.answers[LOGS] = [
        chunked((0, b"one\ntw"), (1, b"a"), whole=False),
        chunked((0, b"one\n"), whole=False),
        gone,
        problem(503, detail="busy"),
        chunked((1, b"a"), (0, b"one\n"), (0, b"two\nth"), (1, b"b"), whole=False),
        chunked((0, b"one\ntwo\nthree\n"), (1, b"abc")),
    ]
    assert log_of(mesh, follow=True) == {0: b"one\ntwo\nthree\n", 1: b"abc"}
    assert [path for _, path, _ in fake.requests[2:]] == [LOGS + "?follow=1"] * 6 + [LOGS]


def test_what_two_machines_write_at_once_is_given_once(fake, mesh):
    fake.answers["/api/v1/tasks/job"] = as_json(JOB)
    fake.answers[LOGS] = [
        chunked((0, b"on", "a"), (0, b"o", "b"), (0, b"e\nt", "a"), (0, b"ne\ntwo\n", "b"), (0, b"wo\nth", "a")),
        chunked((0, b"one\ntwo\nthree\n")),
    ]
    assert log_of(mesh, follow=True) == {0: b"one\ntwo\nthree\n"}


@pytest.mark.parametrize("later", [[(0, b"wo\nthree\n")], [(0, b"ree\n")], []], ids=["another", "short", "nothing"])
def test_what_the_node_keeps_no_more_is_read_when_the_job_has_ended(fake, mesh, later):
    fake.answers["/api/v1/tasks/job"] = [as_json(JOB), as_json(JOB), as_json(DONE)]
    fake.answers[LOGS] = [
        chunked((0, b"one\nt"), whole=False),
        chunked(*later),
        chunked((0, b"one\ntwo\nthree\n"), whole=False),
        chunked((0, b"one\ntwo\nthree\n"), (1, b"four")),
    ]
    for _ in range(2):
        fake.sockets.put([])
    assert log_of(mesh, follow=True) == {0: b"one\ntwo\nthree\n", 1: b"four"}
    assert [path for _, path, _ in fake.requests if path.startswith(LOGS)] == [LOGS + "?follow=1"] * 2 + [LOGS] * 2


def test_a_log_that_became_another_is_given_whole(fake, mesh):
    fake.answers["/api/v1/tasks/job"] = [as_json(JOB), as_json(JOB), as_json(DONE)]
    fake.answers[LOGS] = [chunked((0, b"one "), (0, b"two", "b")), chunked((0, b"two and more"))]
    for _ in range(2):
        fake.sockets.put([])
    assert log_of(mesh, follow=True) == {0: b"one two and more"}


def test_the_log_of_a_job_that_has_ended_is_read_once(fake, mesh):
    fake.answers["/api/v1/tasks/job"] = as_json(DONE)
    fake.answers[LOGS] = chunked((0, b"one"), (1, b"two"))
    assert log_of(mesh, follow=True) == {0: b"one", 1: b"two"}
    assert [path for _, path, _ in fake.requests if path.startswith(LOGS)] == [LOGS]


def test_a_log_that_is_not_followed_is_as_the_node_has_it(fake, mesh):
    fake.answers["/api/v1/tasks/job"] = as_json(JOB)
    fake.answers[LOGS] = chunked((0, b"a"), (0, b"a", "b"), whole=False)
    lines = mesh.job("job").logs()
    assert [(next(lines).peer, next(lines).peer)] == [(None, "b")]
    with pytest.raises(meshwork.NodeUnreachable):
        next(lines)


def test_a_log_that_is_cut_again_and_again_ends_the_wait(fake):
    fake.answers["/api/v1/tasks/job"] = as_json(JOB)
    fake.answers[LOGS] = chunked((0, b"one"), whole=False)
    with meshwork.Mesh(url=fake.url, token="x", patience=0.2) as mesh, pytest.raises(meshwork.NodeUnreachable):
        log_of(mesh, follow=True)


def event(seq, kind="job.done", job="job"):
    return {"seq": seq, "time": "", "kind": kind, "job": job}


def test_the_end_of_a_job_is_an_event(fake, mesh):
    read_once = threading.Event()
    fake.answers["/api/v1/tasks/job"] = [as_json(JOB), tell(read_once, JOB), as_json(DONE)]
    fake.sockets.put([read_once.wait, event(1, job="another"), event(2, "job.phase"), event(3), read_once.wait])
    fake.sockets.put([])
    assert mesh.job("job").wait(30).phase == "done"


def tell(happened, value):
    """Answers with a value, and says that it did."""

    def answer(handler):
        reply(handler, *as_json(value))
        happened.set()

    return answer


def test_after_a_cut_the_events_resume_and_the_end_is_not_lost(fake, mesh):
    first_read = threading.Event()
    fake.answers["/api/v1/tasks/job"] = [as_json(JOB), tell(first_read, JOB), as_json(DONE)]
    fake.sockets.put([first_read.wait, event(7, "job.log")])
    fake.sockets.put(problem(503, detail="too many"))
    fake.sockets.put([{"seq": 9, "time": "", "kind": "gap"}, first_read.wait])
    fake.sockets.put([])
    assert mesh.job("job").wait(30).ended
    assert next(path for _, path, _ in fake.requests if "since" in path) == "/api/v1/events?since=7"


def test_a_cut_before_any_event_is_a_gap(fake, mesh):
    first_read = threading.Event()
    fake.answers["/api/v1/tasks/job"] = [as_json(JOB), tell(first_read, JOB), as_json(DONE)]
    fake.sockets.put([first_read.wait])
    fake.sockets.put([first_read.wait])
    fake.sockets.put([])
    assert mesh.job("job").wait(30).ended


def test_a_node_that_is_busy_for_a_while_is_asked_again(fake, mesh):
    fake.answers["/api/v1/tasks/job"] = [as_json(JOB), problem(503, detail="busy"), gone, as_json(DONE)]
    fake.sockets.put([])
    fake.sockets.put([])
    assert mesh.job("job").wait(30).ended


@pytest.mark.parametrize(
    "message", ["{", "[]", '{"seq":"1","time":"","kind":"x"}', '{"seq":1e400,"time":"","kind":"x"}']
)
def test_events_that_no_node_sends_end_the_wait(fake, mesh, message):
    fake.answers["/api/v1/tasks/job"] = as_json(JOB)
    fake.sockets.put([message])
    with pytest.raises(meshwork.ProtocolError):
        mesh.job("job").wait(30)


def test_a_token_that_was_revoked_ends_the_wait(fake, mesh):
    fake.answers["/api/v1/tasks/job"] = as_json(JOB)
    fake.sockets.put(problem(401, detail="no such token"))
    with pytest.raises(meshwork.Unauthorized):
        mesh.job("job").wait(30)


def test_events_that_stay_away_end_the_wait(fake):
    fake.answers["/api/v1/tasks/job"] = as_json(JOB)
    for _ in range(20):
        fake.sockets.put(problem(503, detail="too many"))
    with meshwork.Mesh(url=fake.url, token="x", patience=0.2) as mesh, pytest.raises(meshwork.Unavailable):
        mesh.job("job").wait(30)


def test_a_task_is_never_sent_twice(fake, mesh, tmp_path):
    fake.answers["/api/v1/tasks"] = gone
    (tmp_path / "x.py").write_text("")
    with pytest.raises(meshwork.NodeUnreachable):
        mesh.start(tmp_path / "x.py")
    assert [method for method, _, _ in fake.requests] == ["POST"]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("rejected: x", meshwork.RejectedByVerifiers),
        ("reduce-failed: disputed: x", meshwork.RejectedByVerifiers),
        ("no-workers-left: x", meshwork.RejectedByVerifiers),
        ("total-timeout: x", meshwork.JobTimedOut),
        ("stopped: by its owner", meshwork.JobStopped),
        ("guest-failed: x", meshwork.GuestError),
        ("fetch-failed: x", meshwork.JobFailed),
        ("", meshwork.JobFailed),
    ],
)
def test_a_failed_job_is_an_exception_of_its_cause(fake, mesh, failure, kind):
    fake.answers["/api/v1/tasks/job"] = as_json({**DONE, "phase": "failed", "failure": failure})
    fake.sockets.put([])
    fake.sockets.put([])
    with pytest.raises(kind) as caught:
        mesh.job("job").result()
    assert caught.value.job == "job"


def test_the_home_is_found_as_the_program_finds_it(tmp_path, monkeypatch):
    for name in ("MESH_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Endpoint().home == tmp_path / ".local/share/meshwork"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert Endpoint().home == tmp_path / ".local/share/meshwork"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert str(Endpoint().home) == "/data/meshwork"
    (tmp_path / ".config/meshwork").mkdir(parents=True)
    (tmp_path / ".config/meshwork/config.toml").write_text('home = "~/configured"')
    assert Endpoint().home == tmp_path / "configured"
    monkeypatch.setenv("MESH_HOME", "/named")
    assert str(Endpoint().home) == "/named"
    assert str(Endpoint("/told").home) == "/told"


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "{}", "[" * 100_000, '{"address":"localhost","port":1,"token":"t","pid":1}',
        '{"address":"127.0.0.1","port":70000,"token":"t","pid":1}',
        '{"address":"127.0.0.1","port":1,"token":5,"pid":1}',
    ],
)  # fmt: skip
def test_a_damaged_address_is_an_error(tmp_path, text):
    (tmp_path / "api.json").write_text(text)
    with pytest.raises(meshwork.ProtocolError, match="damaged"):
        meshwork.connect(tmp_path)


def test_a_node_that_was_killed_is_no_node(tmp_path):
    child = subprocess.Popen(["true"])
    child.wait()
    facts = {"address": "127.0.0.1", "port": 1, "token": "t", "pid": child.pid}
    (tmp_path / "api.json").write_text(json.dumps(facts))
    with pytest.raises(meshwork.NodeUnreachable, match="no node is running"):
        meshwork.connect(tmp_path)
    (tmp_path / "api.json").write_text(json.dumps({**facts, "pid": os.getpid()}))
    with pytest.raises(meshwork.NodeUnreachable, match="does not answer"):
        meshwork.connect(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"url": "ftp://x", "token": "t"}, "no address"),
        ({"url": "127.0.0.1:80", "token": "t"}, "no address"),
        ({"url": "http://127.0.0.1:80"}, "needs a token"),
        ({"url": "http://127.0.0.1:80", "token": "a\r\nb"}, "no token"),
        ({"token": "t"}, "needs a url"),
        ({"home": "/x", "url": "http://x"}, "either"),
    ],
)
def test_addresses_are_checked(arguments, text):
    with pytest.raises(ValueError, match=text):
        Endpoint(**arguments)


def test_the_link_of_the_dashboard_is_an_address():
    endpoint = Endpoint(url="http://127.0.0.1:80/#token=abc")
    assert (endpoint.find().url, endpoint.find().token) == ("http://127.0.0.1:80", "abc")
    assert "abc" not in repr(endpoint.find())


def test_both_clients_have_the_same_surface():
    for waiting, other in ((meshwork.Mesh, meshwork.AsyncMesh), (meshwork.Job, meshwork.AsyncJob)):
        names = {name for name in vars(other) if not name.startswith("_")} - {"id"}
        assert names == {name for name in vars(waiting) if not name.startswith("_")} - {"id"}
        for name in names:
            here, there = (inspect.signature(getattr(kind, name)).parameters for kind in (waiting, other))
            assert [(p.name, p.kind, p.default) for p in here.values()] == [
                (p.name, p.kind, p.default) for p in there.values()
            ], name


def test_a_callback_cannot_wait_for_itself(mesh):
    from meshwork._sync import portal

    async def inside():
        with pytest.raises(RuntimeError, match="cannot wait in a callback"):
            mesh.node()
        return "refused"

    assert portal().call(inside()) == "refused"
