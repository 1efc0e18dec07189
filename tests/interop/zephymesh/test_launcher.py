"""What ZephyMesh's launcher does with its node, done to ours: start `zephymesh_node` in the project's root, wait for the ports
file, ask the routes without a token, fetch a file over the two stream protocols with js-libp2p.
Written from the design's "Drop-in for ZephyMesh's launcher" alone. ZEPHYMESH_NODE, NODE, NODE_MODULES_PARENT name the programs."""

import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).parent


def call(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if content else None


class Launcher(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = Path(self.folder.name) / "project"
        (self.root / "staticmodelpool").mkdir(parents=True)
        (self.root / "llama_build").mkdir()
        (self.root / "secrets").mkdir()
        self.ports = self.root / "zephymesh_ports.json"

    def start(self, name="home"):
        node = subprocess.Popen(
            [os.environ["ZEPHYMESH_NODE"], "--home", str(Path(self.folder.name) / name), "--no-mdns",
             "--listen", "/ip4/127.0.0.1/tcp/0"],
            cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, node)
        deadline = time.monotonic() + 60
        while not self.ports.exists():
            self.assertIsNone(node.poll(), "the node ended by itself")
            self.assertLess(time.monotonic(), deadline, "no ports file")
            time.sleep(0.02)
        return node, json.loads(self.ports.read_text())["api_port"]

    def end(self, node):
        if node.poll() is None:
            node.send_signal(signal.SIGTERM)
        node.wait(timeout=60)

    def add(self, path, content):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def peer(self, address, *paths):
        done = subprocess.run(
            [os.environ["NODE"], "--no-warnings", str(HERE / "peer.mjs"), os.environ["NODE_MODULES_PARENT"], address, *paths],
            capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_launcher_finds_and_fetches(self):
        content = random.Random(1).randbytes(5_000_017)
        sha256 = self.add("staticmodelpool/tiny.gguf", content)
        node, port = self.start()
        self.assertIn(port, range(22616, 22701))

        status, addrs = call(port, "GET", "/api/v1/addrs")
        self.assertEqual(status, 200)
        address = next(a for a in addrs["addrs"] if a.endswith("/p2p/" + addrs["peerId"]))

        # A new asset, as the launcher tells of it: a POST without a body.
        built = self.add("llama_build/libllama.so", b"a library")
        self.add("secrets/key.txt", b"nobody's business")
        status, _ = call(port, "POST", "/api/v1/manifest/refresh")
        self.assertEqual(status, 200)
        status, found = call(port, "GET", "/api/v1/query/asset?filepath=staticmodelpool/tiny.gguf")
        self.assertEqual(status, 200)
        self.assertTrue(found["found"])
        self.assertEqual(found["source"], "local")
        self.assertEqual(found["localPath"], str(self.root / "staticmodelpool/tiny.gguf"))
        self.assertEqual(found["assetInfo"], {"sha256": sha256, "size": len(content)})
        status, found = call(port, "GET", "/api/v1/query/asset?filepath=llama_build/libllama.so")
        self.assertEqual(found["assetInfo"], {"sha256": built, "size": 9})
        status, found = call(port, "GET", "/api/v1/query/asset?filepath=secrets/key.txt")
        self.assertEqual((status, found["found"], found["source"]), (200, False, "none"))
        status, _ = call(port, "POST", "/api/v1/inference/request", body="{}", headers={"content-type": "application/json"})
        self.assertEqual(status, 501)

        # Nothing else is open without a token, and nothing at all to a page from elsewhere.
        for method, path in (("GET", "/api/v1/node"), ("GET", "/api/v1/manifest"), ("POST", "/api/v1/tasks")):
            body, headers = ("{}", {"content-type": "application/json"}) if method == "POST" else (None, {})
            self.assertEqual(call(port, method, path, body, headers)[0], 401, path)
        for origin in ("http://elsewhere.example", f"http://127.0.0.1:{port}"):
            status, _ = call(port, "GET", "/api/v1/addrs", headers={"origin": origin})
            self.assertIn(status, (401, 403), origin)

        told = self.peer(address, "staticmodelpool/tiny.gguf", "secrets/key.txt", "staticmodelpool/../secrets/key.txt",
                         "/etc/passwd", "staticmodelpool/none")
        self.assertEqual(told["manifest"], {
            "staticmodelpool/tiny.gguf": {"sha256": sha256, "size": len(content)},
            "llama_build/libllama.so": {"sha256": built, "size": 9}})
        whole, *refused = told["files"]
        self.assertEqual(whole, {"head": {"status": "sending", "size": len(content), "sha256": sha256},
                                 "bytes": len(content), "sha256": sha256})
        # What is there and not shared is answered as what is not there.
        self.assertEqual({json.dumps(answer) for answer in refused}, {json.dumps(refused[-1])})
        self.assertEqual(refused[-1]["head"]["status"], "error")

        node.send_signal(signal.SIGTERM)
        self.assertEqual(node.wait(timeout=60), 0)
        self.assertFalse(self.ports.exists())

    def test_a_second_node_takes_the_next_port_and_a_stale_file_is_no_matter(self):
        first, port = self.start("one")
        self.ports.unlink()
        second, other = self.start("two")
        self.assertNotEqual(port, other)
        self.assertIn(other, range(22616, 22701))
        second.kill()
        second.wait(timeout=60)
        self.assertTrue(self.ports.exists())
        stale = self.ports.stat().st_mtime_ns
        third = subprocess.Popen(
            [os.environ["ZEPHYMESH_NODE"], "--home", str(Path(self.folder.name) / "two"), "--no-mdns",
             "--listen", "/ip4/127.0.0.1/tcp/0"],
            cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, third)
        deadline = time.monotonic() + 60
        while not self.ports.exists() or self.ports.stat().st_mtime_ns == stale:
            self.assertIsNone(third.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        self.assertEqual(call(json.loads(self.ports.read_text())["api_port"], "GET", "/api/v1/addrs")[0], 200)


if __name__ == "__main__":
    unittest.main()
