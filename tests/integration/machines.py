"""Machines that exist only for a test: network namespaces below one that has no way out, so that nothing that they send
leaves the test, and nothing on the real network reaches them.

A test program that needs them calls `main`, which starts it again inside; where no namespaces can be made, `needs_walls`
skips its cases and says why. They live as long as the processes that hold them, which end with the test."""

import contextlib
import ctypes
import os
import subprocess
import sys
import unittest

INSIDE = "MESH_TEST_INSIDE"
CLONE_NEWNET = 0x40000000
# With a user namespace anybody may; where that is forbidden, root may without one.
WALLS = (["unshare", "--user", "--map-root-user", "--net"], ["unshare", "--net"])
TRIAL = "ip link add br0 type bridge && ip link add a0 type veth peer name b0 && unshare --net true"


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


def enter_namespace(file):
    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "a network namespace could not be entered")


def why_no_walls(trial):
    """Tries what a test needs, and says what is missing; with the wall that works."""
    reasons = []
    for wall in WALLS:
        try:
            done = subprocess.run([*wall, "sh", "-c", trial], capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            return None, f"no {error.filename} here"
        if done.returncode == 0:
            return wall, ""
        reasons.append(done.stderr.strip().replace("\n", "; "))
    return None, "no network namespaces here: " + " / ".join(reasons)


def needs_walls(case):
    return unittest.skipUnless(os.environ.get(INSIDE) == "yes", os.environ.get(INSIDE, "") or "not started by its own main program")(case)


def main(trial=TRIAL):
    if INSIDE not in os.environ:
        wall, why = why_no_walls(trial)
        environ = os.environ | {INSIDE: "yes" if wall else why}
        command = [*(wall or []), sys.executable, *sys.argv]
        os.execvpe(command[0], command, environ)
    unittest.main()


class Machine:
    """A network namespace; it lives as long as the process that holds it."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()  # From now on the namespace is there.
        self.run("ip", "link", "set", "lo", "up")

    @property
    def enter(self):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]

    @contextlib.contextmanager
    def inside(self):
        """Sockets that this thread makes meanwhile are there."""
        with open("/proc/thread-self/ns/net", "rb") as here, open(f"/proc/{self.holder.pid}/ns/net", "rb") as there:
            enter_namespace(there)
            try:
                yield
            finally:
                enter_namespace(here)

    def run(self, *words):
        run(*self.enter, *words)

    def plug(self, interface, address, bridge, port):
        """A link named `interface` with that address; its other end, `port`, goes onto a bridge of the test's own namespace."""
        run("ip", "link", "add", port, "type", "veth", "peer", "name", interface, "netns", str(self.holder.pid))
        run("ip", "link", "set", port, "master", bridge, "up")
        self.run("ip", "addr", "add", address, "dev", interface)
        self.run("ip", "link", "set", interface, "up")

    def join(self, interface, address, other, other_interface, other_address):
        """A cable between two machines."""
        run("ip", "link", "add", "cable", "type", "veth", "peer", "name", other_interface, "netns", str(other.holder.pid))
        run("ip", "link", "set", "cable", "netns", str(self.holder.pid), "name", interface)
        for machine, name, own in ((self, interface, address), (other, other_interface, other_address)):
            machine.run("ip", "addr", "add", own, "dev", name)
            machine.run("ip", "link", "set", name, "up")

    def end(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


class Lan:
    """For a test case: a network on which machines hear each other, and nobody else does."""

    def setUp(self):
        super().setUp()
        self.machines = 0
        run("ip", "link", "add", "lan0", "type", "bridge")
        run("ip", "link", "set", "lan0", "up")
        self.addCleanup(run, "ip", "link", "delete", "lan0")

    def machine(self):
        machine = Machine()
        self.addCleanup(machine.end)
        self.machines += 1
        machine.plug("lan", f"10.11.12.{self.machines}/24", "lan0", f"port{self.machines}")
        return machine
