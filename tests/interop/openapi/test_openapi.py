"""Schemathesis against the API of running nodes: requests drawn from the node's own description, well-formed and not. No answer
may be an error of the server or differ from what is described, and without the token nothing may be had that needs it.

MESH and MESH_LIAR name the programs, SCHEMATHESIS the checker, CASES how many requests are drawn for each operation (20 unless told)."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent.parent / "integration"))

from meshes import Node

SCHEMATHESIS = os.environ["SCHEMATHESIS"]
CASES = os.environ.get("CASES", "20")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "ensure_resource_availability",
    "ignored_auth",
)


class Drawn(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def node(self, *founding):
        home = self.folder / "home"
        if founding:
            subprocess.run([os.environ["MESH"], "--home", home, *founding], check=True, capture_output=True)
        node = Node(home, flags=("--slots", "1"))
        self.addCleanup(node.end)
        return node

    def check(self, node, token=None, at_least=500):
        """Runs it; returns how many requests it made."""
        description = self.folder / "openapi.json"
        description.write_text(json.dumps(node.ask("GET", "/openapi.json")))
        command = [SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml", "run", description]
        command += ["--url", f"http://{node.authority}", "--checks", ",".join(CHECKS), "--max-examples", CASES]
        # A WebSocket is nothing that it could open. What a node has taken in decides what it answers, so the seed is a start and no replay.
        command += ["--exclude-path", "/api/v1/events", "--seed", "1", "--suppress-health-check", "all", "--no-color"]
        command += ["--generation-database", "none", "--warnings", "off"]
        if token:
            command += ["--header", f"Authorization: Bearer {token}"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=1500)
        self.assertEqual(done.returncode, 0, done.stdout[-3000:] + done.stderr[-2000:])
        self.assertIsNone(node.process.poll(), "the node has ended")
        made = int(re.search(r"(\d+) generated", done.stdout).group(1))
        self.assertGreater(made, at_least)
        print(f"{made} requests", end=" ", flush=True)
        return made

    def test_a_node_of_a_federation_with_a_ledger(self):
        node = self.node("federation", "found", "town")
        self.check(node, node.token)

    def test_a_node_without_a_ledger(self):
        node = self.node()
        self.check(node, node.token)

    def test_without_the_token(self):
        self.check(self.node("federation", "found", "town"))


if __name__ == "__main__":
    unittest.main()
