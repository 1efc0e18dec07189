"""Runs the real program: its commands, its exit codes, and what the API refuses. MESH names the program."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

MESH = os.environ["MESH"]
HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples"

# Writes half the input's number to stdout; "boom" on stderr and exit code 3 for the input 13.
WAT_EXIT = """(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 100) "boom\\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 5))
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 20)))
    (call $exit (i32.const 3))))"""
WAT_HELLO = WAT_EXIT.replace("boom\\n", "hello").replace("(i32.const 2) (i32.const 0)", "(i32.const 1) (i32.const 0)").replace("(call $exit (i32.const 3))", "")
WAT_TRAP = '(module (memory (export "memory") 1) (func $inner unreachable) (func (export "_start") (call $inner)))'
WAT_LOOP = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))'

# Reads a byte of its input: loops for ever on "x", else ends.
WAT_LOOP_ON_X = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 20)))
    (loop $l (br_if $l (i32.eq (i32.load8_u (i32.const 100)) (i32.const 120))))))"""


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("MESH_") or k in ("MESH_CACHE", "MESH_RUNTIMES_DIR")}
    clean.update(more)
    return clean


class Node:
    def __init__(self, home, *flags):
        self.home = Path(home)
        command = [MESH, "up", "--home", str(home), "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--json", *flags]
        if "--api" not in flags:
            command += ["--api", "127.0.0.1:0"]
        self.take(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()))

    @classmethod
    def of(cls, process):
        """A node that was started in another way."""
        node = cls.__new__(cls)
        node.take(process)
        return node

    def take(self, process):
        self.process = process
        line = self.process.stdout.readline()  # It speaks once it listens; the end of the pipe is its refusal.
        if not line:
            raise RuntimeError(self.process.communicate()[1].decode())
        self.facts = json.loads(line)
        self.token = self.facts["api"].split("token=")[1]
        self.base = self.facts["api"].split("/#")[0]

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.communicate()
        return self.process.returncode

    def request(self, path, method="GET", body=None, token=True, headers=None):
        request = urllib.request.Request(self.base + path, data=body, method=method, headers=headers or {})
        if token:
            request.add_header("Authorization", "Bearer " + (self.token if token is True else token))
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="mesh-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.home = self.folder / "home"

    def node(self, *flags, home=None):
        node = Node(home or self.home, *flags)
        self.addCleanup(node.stop)
        return node

    def mesh(self, *arguments, home=None, stdin=b"", **more):
        command = [MESH, "--home", str(home or self.home), "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, env=environment(), check=False, **more)

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def refused(self, result, code, *words):
        self.assertEqual(result.returncode, code, result.stderr.decode())
        self.assertEqual(result.stdout, b"")
        text = result.stderr.decode()
        self.assertTrue(text.startswith("error: "), text)
        for word in words:
            self.assertIn(word, text)

    def job_failed(self, result, code, *words):
        """A job was begun and failed: one line among those of its progress says why."""
        text = result.stderr.decode()
        self.assertEqual((result.returncode, result.stdout), (code, b""), text)
        errors = [line for line in text.splitlines() if line.startswith("error: ")]
        self.assertEqual(len(errors), 1, text)
        for word in words:
            self.assertIn(word, errors[0])


class WithoutNode(Case):
    def test_no_node(self):
        for command in (["peers"], ["job", "ls"], ["node", "status"], ["assets", "get", "x"], ["receipt", "export", "x"]):
            self.refused(self.mesh(*command), 3, "no node is running", "mesh up")

    def test_usage(self):
        for command in ([], ["nothing"], ["run"], ["job", "describe"], ["peers", "-o", "xml"], ["run", "x", "--verifiers", "99"]):
            self.refused(self.mesh(*command), 2, "--help")

    def test_no_such_file(self):
        self.refused(self.mesh("run", self.folder / "nothing.py"), 4, "there is no file")
        self.refused(self.mesh("receipt", "verify", self.folder / "nothing.car"), 4, "cannot be read")

    def test_bad_timeout_and_fee(self):
        file = self.file("a.wat", WAT_HELLO)
        self.refused(self.mesh("run", file, "--timeout", "sleep=3"), 2, "PHASE=SECONDS")
        self.refused(self.mesh("run", file, "--timeout", "run=-3"), 2, "PHASE=SECONDS")
        self.refused(self.mesh("run", file, "--fee", "1"), 1, "ledger")

    def test_settings_errors(self):
        self.refused(self.mesh("-c", "slotz=1", "config"), 2, 'no setting "slotz"')
        self.file("home/config.toml", "slots = 1\nslots = 2\n")
        self.refused(self.mesh("config"), 2, "config.toml:2")

    def test_config_origins(self):
        self.file("home/config.toml", "slots = 7\n")
        rows = {row["name"]: row for row in json.loads(self.mesh("node", "config", "list", "--show-origin", "--json").stdout)}
        self.assertEqual(rows["slots"]["value"], "7")
        self.assertTrue(rows["slots"]["origin"].endswith("config.toml:1"))
        self.assertEqual(rows["no-mdns"]["origin"], "flag --no-mdns")

    def test_forms(self):
        paths = json.loads(self.mesh("paths", "-o", "json").stdout)
        self.assertEqual(paths["home"], str(self.home))
        self.assertIn(b"key_file:", self.mesh("paths", "-o", "yaml").stdout)

    def test_unbuilt_says_so(self):
        for name in ("policy", "inference"):
            self.refused(self.mesh(name, "show", "--what"), 1, "not built")
            self.assertIn("not built", self.mesh("--help").stdout.decode())

    def test_completion_parses(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.mesh("completion", shell).stdout
            self.assertIn(b"explain", script)
        bash = self.mesh("completion", "bash").stdout
        self.assertEqual(subprocess.run(["bash", "-n"], input=bash, check=False).returncode, 0)
        probe = bash + b'\nCOMP_WORDS=(mesh job ex); COMP_CWORD=2; _mesh; echo "${COMPREPLY[@]}"\n'
        self.assertEqual(subprocess.run(["bash"], input=probe, capture_output=True, check=False).stdout, b"explain\n")

    def test_stale_address(self):
        node = self.node()
        node.stop(signal.SIGKILL)
        self.assertTrue((self.home / "api.json").exists())
        self.refused(self.mesh("peers"), 3, "no node is running")

    def test_not_a_bundle(self):
        self.refused(self.mesh("receipt", "verify", self.file("x.car", "not a car")), 6, "does not prove")

    def test_home_not_writable(self):
        blocked = self.file("blocked", "a file where the home should be")
        result = subprocess.run([MESH, "up", "--home", str(blocked), "--no-mdns", "--api", "127.0.0.1:0"], capture_output=True, env=environment(), check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("error: ", result.stderr.decode())
        self.assertIn(str(blocked), result.stderr.decode())


class Alone(Case):
    """One node, no peers, or none at all but the call's own."""

    def test_run_without_node(self):
        result = self.mesh("run", self.file("a.wat", WAT_HELLO))
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        self.assertEqual(result.stdout, b"hello")
        self.assertIn("unverified", result.stderr.decode())
        self.assertIn("mesh job explain", result.stderr.decode())
        self.assertFalse((self.home / "api.json").exists())

    def test_guest_failure_is_named(self):
        self.node()
        result = self.mesh("run", self.file("a.wat", WAT_EXIT))
        self.assertEqual(result.returncode, 1)
        self.assertIn("exit code 3", result.stderr.decode())
        self.assertIn("boom", result.stderr.decode().split("its log ends with")[1])
        result = self.mesh("run", self.file("t.wat", WAT_TRAP))
        self.assertEqual(result.returncode, 1)
        self.assertIn("unreachable", result.stderr.decode())
        self.assertIn("inner", result.stderr.decode())

    def test_verifiers_without_peers(self):
        self.node()
        result = self.mesh("run", self.file("a.wat", WAT_HELLO), "--verifiers", "3", "--timeout", "bid=1", "--timeout", "total=20")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, b"")
        self.assertIn("the job failed: ", result.stderr.decode())

    def test_the_time_limit_has_its_exit_code(self):
        self.node()
        self.job_failed(self.mesh("run", self.file("loop.wat", WAT_LOOP), "--verifiers", "0", "--fuel", str(10**15), "--timeout", "total=1"), 124, "total-timeout")

    def test_a_full_disk_is_named_and_loses_nothing(self):
        disk = self.folder / "disk"
        disk.mkdir()
        if subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True, check=False).returncode != 0:
            self.skipTest("this machine lets nobody mount a small disk")
        # The node sees a disk of 4 MB; it is told to take more than that.
        script = f"mount -t tmpfs -o size=4m none {disk} && exec {MESH} up --home {disk}/home --no-mdns --listen /ip4/127.0.0.1/tcp/0 --api 127.0.0.1:0 --json"
        process = subprocess.Popen(["unshare", "-rm", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        node = Node.of(process)
        self.addCleanup(node.stop)
        kept = b"kept" * 1000
        octets = {"Content-Type": "application/octet-stream"}
        status, _, body = node.request("/api/v1/assets", "POST", kept, headers=octets)
        self.assertEqual(status, 201, body)
        cid = json.loads(body)["cid"]
        status, headers, body = node.request("/api/v1/assets", "POST", os.urandom(6 << 20), headers=octets)
        self.assertEqual((status, headers["content-type"]), (507, "application/problem+json"), body)
        self.assertIn(b"No space left", body)
        status, _, body = node.request(f"/api/v1/assets/{cid}")
        self.assertEqual((status, body), (200, kept))
        self.assertEqual(node.stop(), 0)

    def test_jobs(self):
        self.node()
        file = self.file("a.wat", WAT_HELLO)
        first = self.mesh("run", file, "--detach").stdout.decode().strip()
        second = self.mesh("run", file, "--detach").stdout.decode().strip()
        self.assertNotEqual(first, second)
        self.assertEqual(set(self.mesh("job", "ls", "-o", "name").stdout.decode().split()), {first, second})
        self.refused(self.mesh("job", "describe", "bafyrei"), 1, "give more of it", first, second)
        self.refused(self.mesh("job", "describe", "zzz"), 4, "no job's id begins with zzz")
        self.assertEqual(json.loads(self.mesh("job", "describe", first[:24], "--json").stdout)["id"], first)
        for command in ("describe", "explain", "logs"):
            self.assertEqual(self.mesh("job", command, first).returncode, 0)
        again = self.mesh("job", "rerun", first).stdout.decode().strip()
        self.assertEqual(len(json.loads(self.mesh("job", "ls", "--json").stdout)), 3)
        self.mesh("job", "logs", "-f", again)  # Ends with the job.
        self.assertEqual(self.mesh("job", "get", again).stdout, b"hello")

    def test_map_and_output_folder(self):
        self.node()
        lines = self.file("three.txt", "1 10\n11 20\n21 30\n")
        result = self.mesh("run", EXAMPLES / "collatz/collatz.wasm", "-i", lines, "--map")
        self.assertEqual(result.stdout, b"9 20\n18 21\n27 112\n", result.stderr.decode())
        out = self.folder / "out"
        self.assertEqual(self.mesh("run", EXAMPLES / "collatz/collatz.wasm", "-i", lines, "--map", "--output-dir", out).returncode, 0)
        self.assertEqual([file.read_text() for file in sorted(out.iterdir())], ["9 20\n", "18 21\n", "27 112\n"])

    def test_what_proves_one_shard_is_exported_and_checked_alone(self):
        node = self.node()
        lines = self.file("three.txt", "1 10\n11 20\n21 30\n")
        job = self.mesh("run", EXAMPLES / "collatz/collatz.wasm", "-i", lines, "--map", "--detach").stdout.decode().strip()
        self.mesh("job", "logs", "-f", job)
        one, whole = self.folder / "one.car", self.folder / "whole.car"
        exported = self.mesh("receipt", "export", job, "--shard", 1, "--file", one)
        self.assertEqual(exported.stdout.decode(), f"{one}\n", exported.stderr.decode())
        self.assertEqual(self.mesh("receipt", "export", job, "--file", whole).returncode, 0)
        self.refused(self.mesh("receipt", "export", job, "--shard", 3, "--file", self.folder / "no.car"), 4, "the job has 3 shards, numbered from 0")
        self.refused(self.mesh("receipt", "export", job, "--shard", 2**32 - 1), 4, "the job has 3 shards")
        for bad in ("-1", "x", 2**32, "1.5"):
            self.refused(self.mesh("receipt", "export", job, f"--shard={bad}"), 2, "--shard")
        self.assertFalse((self.folder / "no.car").exists())
        node.stop()
        nowhere = self.folder / "nowhere"
        report = json.loads(self.mesh("receipt", "verify", one, "--shard", 1, "--json", home=nowhere).stdout)
        self.assertEqual([(row["shard"], row["decision"]) for row in report["shards"]], [(1, "unverified")])
        self.assertEqual((report["id"], report["shards_total"]), (job, 3))
        checked = self.mesh("receipt", "verify", whole, "--each-shard", "--json", home=nowhere)
        alone = json.loads(checked.stdout)["alone"]
        self.assertEqual(alone["shards"], 3, checked.stderr.decode())
        self.assertIn("each of the 3 shards", checked.stderr.decode())
        self.assertLess(alone["largest_bytes"], 64 << 10)
        self.refused(self.mesh("receipt", "verify", one, "--shard", 3, home=nowhere), 4, "the job has 3 shards, numbered from 0")
        self.refused(self.mesh("receipt", "verify", one, "--shard", 1, "--each-shard", home=nowhere), 2, "--each-shard")
        good = one.read_bytes()
        for at in range(0, len(good), len(good) // 16):
            one.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
            self.refused(self.mesh("receipt", "verify", one, "--shard", 1, home=nowhere), 6, "does not prove")
        one.write_bytes(good[:-1])
        self.refused(self.mesh("receipt", "verify", one, "--each-shard", home=nowhere), 6, "does not prove")

    def test_a_shard_that_is_not_decided_is_not_proven(self):
        node = self.node()
        lines = self.file("lines.txt", "a\nx\n")
        job = self.mesh("run", self.file("x.wat", WAT_LOOP_ON_X), "-i", lines, "--map", "--fuel", 10**15, "--detach").stdout.decode().strip()
        shards = lambda: json.loads(node.request(f"/api/v1/tasks/{job}/shards")[2])
        pause = threading.Event()
        for _ in range(600):
            if shards()[0]["decision"] is not None:
                break
            pause.wait(0.05)
        status, headers, body = node.request(f"/api/v1/tasks/{job}/receipts?shard=1")
        self.assertEqual((status, headers["content-type"]), (409, "application/problem+json"), body)
        self.assertIn(b"shard 1 is not decided yet: it is running", body)
        self.refused(self.mesh("receipt", "export", job, "--shard", 1, "--file", self.folder / "1.car"), 1, "shard 1 is not decided yet")
        self.assertEqual(node.request(f"/api/v1/tasks/{job}/receipts?shard=x")[0], 400)
        first = self.folder / "0.car"
        self.assertEqual(self.mesh("receipt", "export", job, "--shard", 0, "--file", first).returncode, 0)
        self.assertEqual(self.mesh("receipt", "verify", first, "--shard", 0).returncode, 0)
        self.refused(self.mesh("receipt", "verify", first, "--shard", 1), 6, "proves nothing of shard 1")
        self.assertEqual(self.mesh("job", "stop", job).returncode, 0)
        self.refused(self.mesh("receipt", "export", job, "--shard", 1, "--file", self.folder / "1.car"), 4, "there is no verdict on shard 1")

    def test_folder_without_main(self):
        self.node()
        (self.folder / "empty").mkdir()
        result = self.mesh("run", self.folder / "empty")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("main", result.stderr.decode())

    def test_dry_run(self):
        self.node()
        plan = json.loads(self.mesh("run", self.file("a.wat", WAT_HELLO), "--dry-run", "--json").stdout)
        self.assertEqual((plan["shards"], plan["fee_total"], plan["sealed"]), (1, 0, False))
        sealed = json.loads(self.mesh("run", self.file("a.wat", WAT_HELLO), "--dry-run", "--sealed", "--json").stdout)
        self.assertEqual((sealed["shards"], sealed["sealed"]), (1, True))
        self.assertNotEqual(sealed["inputs"], plan["inputs"])
        self.assertEqual(json.loads(self.mesh("job", "ls", "--json").stdout), [])

    def test_interrupt_leaves_the_job(self):
        self.node()
        command = [MESH, "--home", str(self.home), "run", str(self.file("loop.wat", WAT_LOOP))]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        job = run.stderr.readline().decode().split()[1]
        run.send_signal(signal.SIGINT)
        out, error = run.communicate()
        self.assertEqual((run.returncode, out), (130, b""))
        self.assertIn("the job goes on", error.decode())
        self.assertFalse(json.loads(self.mesh("job", "describe", job, "--json").stdout)["ended"])
        self.assertEqual(self.mesh("job", "stop", job).returncode, 0)
        self.assertEqual(json.loads(self.mesh("job", "describe", job, "--json").stdout)["phase"], "stopped")

    def test_assets(self):
        self.node()
        cid = self.mesh("assets", "add", self.file("some/b.txt", "content")).stdout.decode().strip()
        self.assertEqual(self.mesh("assets", "get", cid).stdout, b"content")
        folder = self.mesh("assets", "add", self.folder / "some").stdout.decode().strip()
        self.assertEqual(self.mesh("assets", "get", folder, "-o", self.folder / "copy").returncode, 0)
        self.assertEqual((self.folder / "copy/b.txt").read_text(), "content")
        self.refused(self.mesh("assets", "get", "not-a-cid"), 4)
        self.refused(self.mesh("assets", "get", folder), 2, "-o")
        self.refused(self.mesh("assets", "get", folder, "-o", self.folder / "copy"), 1, "is there already")

    def test_what_is_added_lies_where_it_lay(self):
        node = self.node()
        tree = self.file("tree/deep/a.txt", "one").parent.parent
        self.file("tree/.hidden", "two")
        (tree / "empty").mkdir()
        large = self.file("tree/large", "x" * (3 << 20))
        cid = self.mesh("assets", "add", tree).stdout.decode().strip()
        kept = sum(path.stat().st_size for path in (self.home / "blocks").rglob("bafk*"))
        self.assertLess(kept, 1 << 20, "no leaf is copied")
        self.assertEqual(self.mesh("assets", "add", f"{tree}/").stdout.decode().strip(), cid)
        self.assertEqual(self.mesh("assets", "get", cid, "-o", self.folder / "out").returncode, 0)
        self.assertEqual(sorted(path.name for path in (self.folder / "out").rglob("*")), [".hidden", "a.txt", "deep", "empty", "large"])
        self.assertEqual((self.folder / "out/large").read_bytes(), large.read_bytes())
        (row,) = json.loads(self.mesh("assets", "ls", "--json").stdout)
        self.assertEqual((row["path"], row["cid"], row["visibility"]), (str(tree), cid, "by CID"))
        self.assertEqual(self.mesh("assets", "add", "--copy", tree).stdout.decode().strip(), cid, "a copy has the same name")
        # A changed file has another name, and the old one has no content.
        one = self.mesh("assets", "add", self.file("one", "first")).stdout.decode().strip()
        self.file("one", "other")
        self.assertNotEqual(self.mesh("assets", "get", one).returncode, 0)
        other = self.mesh("assets", "add", self.folder / "one").stdout.decode().strip()
        self.assertEqual(self.mesh("assets", "get", other).stdout, b"other")
        # A restart remembers it, a removal forgets it.
        node.stop()
        self.node()
        self.assertEqual(self.mesh("assets", "get", other).stdout, b"other")
        self.assertEqual(self.mesh("assets", "rm", self.folder / "one").returncode, 0)
        self.refused(self.mesh("assets", "rm", self.folder / "one"), 4, "was not added")
        self.assertNotEqual(self.mesh("assets", "get", other).returncode, 0)
        self.assertEqual((self.folder / "one").read_text(), "other")
        self.refused(self.mesh("assets", "add", self.folder / "none"), 4, "there is no file or folder")
        (self.folder / "link").symlink_to(tree)
        self.refused(self.mesh("assets", "add", self.folder / "link"), 2, "neither a regular file nor a folder")
        self.refused(self.mesh("assets", "add", self.home), 1, "the node's own")
        # Listed, it is found by its name.
        self.assertEqual(self.mesh("assets", "add", "--visibility", "lan", self.folder / "one").returncode, 0)
        (found,) = json.loads(self.mesh("assets", "find", "one", "--json").stdout)
        self.assertEqual((found["cid"], found["visibility"]), (other, "lan"))

    def test_shared_files(self):
        shared = self.file("models/deep/tiny.gguf", "weights").parent.parent
        self.file("models/.hidden", "x")
        self.node("--share", str(shared))
        self.assertEqual(json.loads(self.mesh("assets", "refresh", "--json").stdout)["files"], 1)
        row = json.loads(self.mesh("assets", "ls", "--json").stdout)[0]
        self.assertEqual((row["path"], row["share"], row["visibility"], row["bytes"]), ("deep/tiny.gguf", "models", "lan", 7))
        for name in ("tiny.gguf", "*.gguf", row["cid"]):
            (found,) = json.loads(self.mesh("assets", "find", name, "--json").stdout)
            self.assertEqual((found["cid"], found["source"]), (row["cid"], "local"), name)
        self.refused(self.mesh("assets", "find", ".hidden"), 4)
        self.assertEqual(self.mesh("assets", "get", row["cid"]).stdout, b"weights")
        (shared / "deep/tiny.gguf").write_text("other!!")
        self.assertEqual(json.loads(self.mesh("assets", "refresh", "--json").stdout)["read_files"], 1)
        self.refused(self.mesh("assets", "find", row["cid"]), 4)

    def test_the_gateway_needs_a_token_but_for_what_everybody_may_have(self):
        public = self.file("public/a.txt", "for all").parent
        near = self.file("near/b.txt", "for the lan").parent
        settings = self.file("mesh.toml", f'[[share]]\npath = "{public}"\nvisibility = "everybody"\n[[share]]\npath = "{near}"\n')
        node = self.node("--config", str(settings))
        self.assertEqual(json.loads(self.mesh("assets", "refresh", "--json").stdout)["files"], 2)
        cids = {row["path"]: row["cid"] for row in json.loads(self.mesh("assets", "ls", "--json").stdout)}
        added = self.mesh("assets", "add", self.file("added", "for those who have the token here")).stdout.decode().strip()
        unknown = added[:-4] + "aaaa"

        def get(cid, token, query="?format=raw"):
            status, headers, body = node.request(f"/ipfs/{cid}{query}", token=token)
            return status, body

        self.assertEqual(get(cids["a.txt"], False), (200, b"for all"))
        self.assertEqual(node.request(f"/ipfs/{cids['a.txt']}?format=raw", "HEAD", token=False)[0], 200)
        self.assertEqual(get(cids["a.txt"], False, "?format=tar")[0], 406)
        refused = get(unknown, False)
        self.assertEqual(refused[0], 401)
        for cid in (cids["b.txt"], added, "nonsense"):
            self.assertEqual(get(cid, False), refused)
        self.assertEqual(get(cids["b.txt"], True), (200, b"for the lan"))
        self.assertEqual(get(added, True), (200, b"for those who have the token here"))
        self.assertEqual(get(unknown, True)[0], 404)
        self.assertEqual(node.request(f"/ipfs/{cids['a.txt']}", "POST", b"{}", headers={"Content-Type": "application/json"})[0], 405)
        # Whom it is no longer shared with it is not given.
        (public / "a.txt").unlink()
        self.assertEqual(get(cids["a.txt"], False)[0], 401)

    def test_sealed_files(self):
        node = self.node()
        did = json.loads(self.mesh("node", "status", "--json").stdout)["did"]
        stranger = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
        secret = self.file("secret", "for my own eyes")
        for recipient in ("self", did, node.facts["addresses"][0].split("/p2p/")[1]):
            answer = json.loads(self.mesh("assets", "add", "--for", recipient, secret, "--json").stdout)
            self.assertEqual(answer["bytes"], 179 + len("for my own eyes") + 17)
            cid = answer["cid"]
            self.assertEqual(self.mesh("assets", "get", cid).stdout, b"for my own eyes")
            self.assertNotIn(b"eyes", self.mesh("assets", "get", cid, "--sealed").stdout)
        self.assertEqual(node.request(f"/api/v1/assets/{cid}?open=1")[2], b"for my own eyes")
        self.assertNotIn(b"eyes", node.request(f"/api/v1/assets/{cid}")[2])
        self.assertEqual(node.request(f"/api/v1/assets/{cid}?open=1", token=False)[0], 401)
        self.assertEqual(node.request(f"/api/v1/assets/{cid}?open=2")[0], 400)
        self.assertEqual(node.request(f"/api/v1/assets/{cid[:-4]}aaaa?open=1")[0], 404)
        # For others, for two of them, for oneself among them.
        other = self.mesh("assets", "add", "--for", stranger, secret).stdout.decode().strip()
        status, headers, body = node.request(f"/api/v1/assets/{other}?open=1")
        self.assertEqual((status, headers["content-type"]), (403, "application/problem+json"))
        self.assertIn(f"sealed for {stranger}, not for this node ({did})", json.loads(body)["detail"])
        out = self.folder / "out"
        self.refused(self.mesh("assets", "get", other, "-o", out), 5, stranger)
        self.assertEqual(list(self.folder.glob(".out*")) + list(self.folder.glob("out*")), [])
        both = self.mesh("assets", "add", "--for", stranger, "--for", "self", secret).stdout.decode().strip()
        self.assertEqual(self.mesh("assets", "get", both).stdout, b"for my own eyes")
        # What is not sealed comes as it is, and so does a folder with what is.
        plain = self.mesh("assets", "add", secret).stdout.decode().strip()
        self.assertEqual(node.request(f"/api/v1/assets/{plain}?open=1")[2], b"for my own eyes")
        (self.folder / "in").mkdir()
        self.assertEqual(self.mesh("assets", "get", other, "--sealed", "-o", self.folder / "in/other").returncode, 0)
        folder = self.mesh("assets", "add", self.folder / "in").stdout.decode().strip()
        self.assertEqual(node.request(f"/api/v1/assets/{folder}?open=1")[1]["x-mesh-kind"], "folder")
        self.assertEqual(self.mesh("assets", "get", folder, "-o", self.folder / "copy").returncode, 0)
        self.assertEqual((self.folder / "copy/other").read_bytes(), (self.folder / "in/other").read_bytes())
        # What is named wrongly.
        self.refused(self.mesh("assets", "add", "--for", "did:key:nobody", secret), 2, "--for did:key:nobody", "self")
        self.refused(self.mesh("assets", "add", "--for", "self", "--for", did, secret), 2, "named twice")
        self.refused(self.mesh("assets", "add", "--for", "self", self.folder / "in"), 1, "folder", "not built")
        self.refused(self.mesh("assets", "add", "--for", "self", self.folder / "absent"), 4, "absent")
        self.refused(self.mesh("assets", "add", secret, "--for"), 2)

    def test_shared_files_of_a_peer(self):
        shared = self.file("models/tiny.gguf", "weights").parent
        self.file("models/b/same", "one")
        self.file("models/c/same", "other")
        holder = self.node("--share", str(shared))
        getter = self.folder / "getter"
        self.node("--join", holder.facts["addresses"][0], home=getter)
        found = b""
        for _ in range(200):
            found = self.mesh("assets", "find", "tiny.gguf", "--json", home=getter).stdout
            if found:
                break
            time.sleep(0.05)
        row = json.loads(found)[0]
        self.assertEqual((row["path"], row["source"], row["bytes"]), ("tiny.gguf", "peer", 7))
        self.assertEqual(row["peer"], holder.facts["addresses"][0].split("/p2p/")[1])
        copy = self.folder / "copy.gguf"
        self.assertEqual(self.mesh("assets", "get", "tiny.gguf", "-o", copy, home=getter).returncode, 0)
        self.assertEqual(copy.read_text(), "weights")
        self.refused(self.mesh("assets", "get", "same", home=getter), 1, "b/same", "c/same")
        self.refused(self.mesh("assets", "get", "no-such-file", home=getter), 4)
        holder.stop()
        for _ in range(200):
            if self.mesh("assets", "find", "b/same", home=getter).returncode == 4:
                break
            time.sleep(0.05)
        self.refused(self.mesh("assets", "find", "b/same", home=getter), 4)
        # What was fetched is kept, and found here.
        rows = json.loads(self.mesh("assets", "find", "tiny.gguf", "--json", home=getter).stdout)
        self.assertEqual([(row["source"], row["full_path"], row["visibility"]) for row in rows], [("local", "models/tiny.gguf", "lan")])
        kept = self.mesh("assets", "get", "tiny.gguf", "--path", home=getter).stdout.decode().strip()
        self.assertEqual(Path(kept).read_text(), "weights")
        self.assertEqual(self.mesh("assets", "get", "tiny.gguf", home=getter).stdout, b"weights")

    def test_mesh_cli(self):
        link = self.folder / "mesh-cli"
        link.symlink_to(MESH)
        start = subprocess.Popen([str(link), "start", "--listen", "/ip4/127.0.0.1/tcp/0", "--home", str(self.home), "--no-mdns", "--api", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.assertTrue(start.stdout.readline().startswith(b"api"))
        try:
            call = lambda *words: subprocess.run([str(link), *map(str, words), "--home", str(self.home)], capture_output=True, env=environment(), check=False)
            wasm = self.mesh("assets", "add", EXAMPLES / "collatz/collatz.wasm").stdout.decode().strip()
            data = self.mesh("assets", "add", self.file("range", "1 10")).stdout.decode().strip()
            self.refused(call("publish-task", "--wasm-cid", wasm, "--input-cid", data, "--fee", "100"), 1, "ledger")
            job = call("publish-task", "--wasm-cid", wasm, "--input-cid", data).stdout.decode().strip()
            self.mesh("job", "logs", "-f", job)
            self.assertEqual(self.mesh("job", "get", job).stdout, b"9 20\n")
            self.assertEqual(call("list-peers", "--json").stdout.strip(), b"[]")
            # A node hears nothing of its own task by gossip, and so has none to offer on.
            self.refused(call("offer-execution", "--task-cid", data, "--cost", "80"), 4, "unknown-intent")
            self.refused(call("offer-execution", "--task-cid", job, "--cost", "0"), 5, "own-task")
        finally:
            start.terminate()
            start.communicate()
        self.assertEqual(start.returncode, 0)


class Api(Case):
    def test_stop_is_clean_and_files_are_private(self):
        node = self.node()
        for name in ("api.json", "api.token", "node.key"):
            self.assertEqual(stat.S_IMODE((self.home / name).stat().st_mode), 0o600, name)
        self.assertEqual(node.stop(), 0)
        self.assertFalse((self.home / "api.json").exists())

    def test_port_taken(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = self.mesh("up", "--api", f"127.0.0.1:{port}")
            self.assertEqual(result.returncode, 1)
            self.assertIn(str(port), result.stderr.decode())

    def test_second_node_on_the_same_home(self):
        self.node()
        result = self.mesh("up", "--api", "127.0.0.1:0")
        self.assertEqual(result.returncode, 1)
        self.assertIn("error: ", result.stderr.decode())
        self.assertEqual(self.mesh("node", "status").returncode, 0)

    def test_who_may_ask(self):
        node = self.node()
        self.assertEqual(node.request("/livez", token=False)[0], 200)
        self.assertEqual(node.request("/readyz", token=False)[0], 200)
        self.assertEqual(node.request("/api/v1/node", token=False)[0], 401)
        self.assertEqual(node.request("/api/v1/node", token="0" * 43)[0], 401)
        self.assertEqual(node.request("/api/v1/node", headers={"Origin": "http://example.com"})[0], 403)
        self.assertEqual(node.request("/api/v1/node", headers={"Host": "example.com"})[0], 403)
        self.assertEqual(node.request("/api/v1/node", headers={"Sec-Fetch-Site": "cross-site"})[0], 403)
        self.assertEqual(node.request("/api/v1/node")[0], 200)

    def test_oversized_body(self):
        node = self.node("-c", "max-body=1")
        status, headers, body = node.request("/api/v1/assets", "POST", bytes(1 << 20), headers={"Content-Type": "application/octet-stream"})
        self.assertEqual(status, 201, body)
        try:
            status, headers, _ = node.request("/api/v1/assets", "POST", bytes((1 << 20) + 1), headers={"Content-Type": "application/octet-stream"})
            self.assertEqual((status, headers["content-type"]), (413, "application/problem+json"))
        except urllib.error.URLError as error:  # The refusal may come before the body is sent: the connection is then cut.
            self.assertIsInstance(error.reason, OSError)
        self.assertEqual(node.request("/livez", token=False)[0], 200)

    def test_bad_tasks(self):
        node = self.node()
        headers = {"Content-Type": "application/json"}
        for body in (b"", b"{", b"[]", b"{}", b'{"function": 7}', b'{"function": "x"}', b'{"function": {"language": "python"}}', b"[" * 100_000,
                     b'{"function": {"language": "cobol", "source": "x"}}', b'{"function": {"language": "wasm", "source": "not wasm"}}',
                     b'{"function": {"language": "wat", "source": "(module)"}, "unknown": 1}', b'{"function": {"language": "wat", "source": "(module"}}',
                     b'{"function": {"language": "wat", "source": "(module)"}, "inputs": [{"base64": "*"}]}',
                     b'{"function": {"language": "wat", "source": "(module)"}, "inputs": [{"text": "a"}, {"text": "b"}]}',
                     b'{"function": {"language": "wat", "source": "(module)"}, "fee": -1}', b'{"function": {"language": "wat", "source": "(module)"}, "verifiers": 64}'):
            status, answer, text = node.request("/api/v1/tasks", "POST", body, headers=headers)
            self.assertEqual((status, answer["content-type"]), (400, "application/problem+json"), (body[:80], text))
        status, _, text = node.request("/api/v1/tasks", "POST", b'{"function": {"language": "wat", "source": "(module)"}, "fee": 5}', headers=headers)
        self.assertEqual(status, 501, text)
        self.assertIn(b"ledger", text)
        self.assertEqual(node.request("/api/v1/tasks", "POST", b"a=1", headers={"Content-Type": "application/x-www-form-urlencoded"})[0] // 100, 4)

    def test_the_description_is_printed_without_a_node(self):
        self.assertEqual(json.loads(self.mesh("openapi").stdout)["openapi"], "3.1.0")

    def test_every_described_route_answers_as_described(self):
        self.assertEqual(self.mesh("federation", "found", "town").returncode, 0)
        node = self.node()
        self.assertEqual(self.mesh("wallet", "bond", "1").returncode, 0)
        job = self.mesh("run", self.file("a.wat", WAT_HELLO), "--detach").stdout.decode().strip()
        self.mesh("job", "logs", "-f", job)
        document = json.loads(node.request("/openapi.json")[2])
        cid = json.loads(node.request("/api/v1/assets", "POST", b"x", headers={"Content-Type": "application/octet-stream"})[2])["cid"]
        checked = 0
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                self.assertIn("default", operation["responses"])
                if path == "/api/v1/events":
                    self.assertEqual(node.request(path)[0], 400)  # Not a WebSocket.
                    continue
                target = path.replace("{id}", job).replace("{cid}", cid).replace("{peer}", "nobody").replace("{account}", "self").replace("{height}", "1").replace("{intent}", cid)
                status, headers, body = node.request(target, method.upper(), b"{}" if method == "post" else None, headers={"Content-Type": "application/json"} if method == "post" else {})
                if status != 501 or "501" not in operation["responses"]:
                    self.assertLess(status, 500, (path, body))
                described = operation["responses"].get(str(status), operation["responses"]["default"])
                kind = headers["content-type"].split(";")[0]
                self.assertIn(kind, described["content"], (path, status))
                schema = described["content"][kind].get("schema", {})
                if kind.endswith("json") and kind != "application/x-ndjson":
                    self.check(document, schema, json.loads(body), path)
                checked += 1
        self.assertGreater(checked, 25)
        self.assertEqual(node.request("/api/v1/nothing")[0], 404)
        self.assertEqual(node.request("/api/v1/node", "DELETE")[0], 405)
        self.assertEqual(node.request("/api/v1/node?what=1")[0], 400)

    def check(self, document, schema, value, where):
        if "$ref" in schema:
            return self.check(document, document["components"]["schemas"][schema["$ref"].split("/")[-1]], value, where)
        if "anyOf" in schema:
            for option in schema["anyOf"]:
                try:
                    return self.check(document, option, value, where)
                except AssertionError:
                    continue
            self.fail(f"{where}: {value!r} is none of {schema}")
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        types = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "null": type(None)}
        if kinds:
            self.assertTrue(any(type(value) is types[kind] for kind in kinds), f"{where}: {value!r} is no {kinds}")
        if isinstance(value, dict) and "properties" in schema:
            self.assertEqual(set(value) - set(schema["properties"]), set(), where)
            self.assertEqual(set(schema["required"]) - set(value), set(), where)
            for name, item in value.items():
                self.check(document, schema["properties"][name], item, f"{where}.{name}")
        if isinstance(value, list):
            for item in value:
                self.check(document, schema.get("items", {}), item, where + "[]")
        return None


class Mesh(Case):
    def test_two_nodes_see_each_other(self):
        first = self.node()
        second = self.node("--join", first.facts["addresses"][0], home=self.folder / "second")
        peer = json.loads(first.request("/api/v1/addrs")[2])["peerId"]
        status, _, body = second.request(f"/api/v1/dial", "POST", json.dumps({"address": first.facts["addresses"][0]}).encode(), headers={"Content-Type": "application/json"})
        self.assertEqual((status, json.loads(body)["peer"]), (200, peer), body)
        self.assertEqual(self.mesh("peers", "ping", peer[-8:], home=second.home).returncode, 0)
        self.assertEqual(self.mesh("doctor", first.facts["addresses"][0], home=second.home).returncode, 0)
        rows = json.loads(self.mesh("peers", "--json", home=second.home).stdout)
        self.assertEqual([(row["peer"], row["connected"], row["transport"]) for row in rows], [(peer, True, "tcp")])

    def pair(self, *flags):
        """A publisher that takes no work, and a worker with these flags."""
        worker = self.node(*flags, home=self.folder / "worker")
        publisher = self.node("--no-work", "--join", worker.facts["addresses"][0])
        peer = json.loads(worker.request("/api/v1/addrs")[2])["peerId"]
        for _ in range(600):
            rows = json.loads(publisher.request("/api/v1/peers")[2])
            if any(row["peer"] == peer and row["connected"] and row["resources"] for row in rows):
                return publisher, worker, peer
            threading.Event().wait(0.05)
        self.fail(f"the publisher never heard what {peer} is: {rows}")

    def test_nobody_offered_because(self):
        _, _, peer = self.pair("--memory", "64")
        result = self.mesh("run", self.file("a.wat", WAT_HELLO), "--memory", "4096", "--verifiers", "0")
        self.job_failed(result, 1, "nobody offered, because", peer[-8:], "4096", "64")

    def test_a_node_that_takes_no_work_is_said_to(self):
        _, _, peer = self.pair("--no-work")
        self.job_failed(self.mesh("run", self.file("a.wat", WAT_HELLO), "--verifiers", "0"), 1, "nobody offered, because", peer[-8:], "takes no work")

    def test_every_language_runs_on_another_node(self):
        _, _, peer = self.pair()
        sources = {
            "a.py": "import sys; print('python', sys.stdin.read().strip()[::-1])",
            "a.js": "import * as std from 'qjs:std'; console.log('javascript', std.in.readAsString().trim().length)",
            "a.rb": "puts \"ruby #{$stdin.read.strip.upcase}\"",
            "a.php": "<?php echo 'php ', strrev(trim(file_get_contents('php://stdin'))), \"\\n\";",
        }
        text = self.file("input.txt", "stone\n")
        answers = {"a.py": b"python enots\n", "a.js": b"javascript 5\n", "a.rb": b"ruby STONE\n", "a.php": b"php enots\n"}
        for name, source in sources.items():
            result = self.mesh("run", self.file(f"sources/{name}", source), "-i", text, "--verifiers", "0", "--timeout", "bid=30")
            self.assertEqual((result.returncode, result.stdout), (0, answers[name]), (name, result.stderr.decode()))
            job = json.loads(self.mesh("job", "ls", "--json").stdout)[0]["id"]
            rows = json.loads(self.mesh("job", "explain", job, "--json").stdout)["shards"]
            self.assertEqual([row["worker"] for row in rows], [peer], name)

    def test_doctor_says_why(self):
        self.node()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            result = self.mesh("doctor", f"/ip4/127.0.0.1/tcp/{closed.getsockname()[1]}")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused", result.stdout.decode() + result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
