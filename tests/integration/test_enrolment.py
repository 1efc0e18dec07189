"""How nodes come into a federation of open enrolment that they meet on their network: told to (`--join lan`), or since a person at a
terminal says so. And how a home leaves a federation that never began.

The network is one of namespaces, as in test_discovery.py."""

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios

from machines import Lan, main, needs_walls
from meshes import CACHE, IDLE, MESH, Case, Process, die_with_parent, environment, until

PATIENCE_S = 60
QUESTION = "[y/n]"


def up(home, *flags):
    return [MESH, "up", "--home", str(home), "--cache", str(CACHE), *IDLE, "--listen", "/ip4/0.0.0.0/tcp/0", "--api", "127.0.0.1:0", "--json", *flags]


class Neighbour(Process):
    """`mesh up` on a machine of the network, not at a terminal."""

    def __init__(self, machine, home, *flags):
        self.machine = machine
        super().__init__([*machine.enter, *up(home, *flags)], home)

    def ask(self, *request):
        with self.machine.inside():
            return super().ask(*request)

    def ledger(self):
        return self.ask("GET", "/api/v1/ledger")

    def members(self):
        return {member["account"]: member for member in self.ask("GET", "/api/v1/ledger/members?count=1000")["members"]}


class Person:
    """`mesh up` at a terminal of its own; what it prints for programs goes elsewhere."""

    def __init__(self, machine, home, *flags):
        self.screen = ""
        self.terminal, end = pty.openpty()

        def at_the_terminal():
            die_with_parent()
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen([*machine.enter, *up(home, *flags)], stdin=end, stdout=subprocess.PIPE, stderr=end, env=environment(),
                                        preexec_fn=at_the_terminal)  # noqa: PLW1509, no threads here
        os.close(end)

    def look(self):
        """What has come onto the screen by now; whether the node is up, or has ended."""
        ready, _, _ = select.select([self.terminal, self.process.stdout], [], [], 0.05)
        if self.terminal in ready:
            with contextlib.suppress(OSError):  # It has ended.
                self.screen += os.read(self.terminal, 4096).decode()
        return self.process.stdout in ready

    def is_asked(self):
        """Waits until there is a question, or the node is up without one."""
        return until(lambda: "question" if self.question() in self.screen else "up" if self.look() else None, "a question, or the node", PATIENCE_S) == "question"

    def question(self):
        return "[1-" if "[1-" in self.screen else QUESTION

    def answer(self, text):
        os.write(self.terminal, text.encode())

    def await_up(self):
        until(self.look, "the node is up", PATIENCE_S)
        return json.loads(self.process.stdout.readline())

    def sees(self, text):
        until(lambda: text in self.screen or (self.look() and False), f"{text!r} on the screen, not {self.screen!r}", PATIENCE_S)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
        while self.process.poll() is None:
            self.look()
        self.process.stdout.close()
        with contextlib.suppress(OSError):
            os.close(self.terminal)
        return self.process.returncode


@needs_walls
class OnTheNetwork(Lan, Case):
    def home(self, name):
        return self.folder / name

    def found(self, home, name, *flags):
        done = subprocess.run([MESH, "--home", str(home), "federation", "found", name, "--json", *flags], capture_output=True, env=environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["federation"]

    def founder(self, name, *flags):
        """A node that has founded a federation of that name, and is alone in it."""
        home = self.home(f"founder-of-{name}")
        federation = self.found(home, name, *flags)
        node = self.started(Neighbour(self.machine(), home))
        node.federation = federation
        until(lambda: node.ledger()["durable_height"] >= 1, "the first block", PATIENCE_S)
        return node

    def newcomer(self, home, *flags, machine=None):
        return self.started(Neighbour(machine or self.machine(), home, *flags))

    def refused(self, home, *flags):
        """The exit code and the words of a node that does not start."""
        done = subprocess.run([*self.machine().enter, *up(home, *flags)], stdin=subprocess.DEVNULL, capture_output=True, env=environment(), check=False)
        return done.returncode, done.stderr.decode()

    def asked(self, machine, home):
        """A person whose node has met somebody, and asks. It looks for two seconds: on a slow machine that may be too short."""
        for _ in range(5):
            person = Person(machine, home)
            self.addCleanup(person.end)
            if person.is_asked():
                return person
            person.await_up()
            person.end()
        raise AssertionError(f"nothing was asked: {person.screen!r}")

    def own(self, home):
        return json.loads(subprocess.run([MESH, "--home", str(home), "node", "id", "--json"], capture_output=True, env=environment(), check=True).stdout)["did"]

    def becomes_a_member(self, home, founder):
        member = until(lambda: founder.members().get(self.own(home)), "the founder's ledger has the newcomer", PATIENCE_S)
        self.assertEqual(member["roles"], ["member"])
        account = founder.ask("GET", f"/api/v1/ledger/accounts/{self.own(home)}")
        self.assertEqual((account["balance"], account["bonded"]), ("0", "0"))

    def test_told_to_a_node_joins_the_open_federation_and_is_a_member(self):
        founder = self.founder("town", "--open")
        home, machine = self.home("newcomer"), self.machine()
        node = self.newcomer(home, "--join", "lan", machine=machine)
        self.assertEqual(node.ledger()["federation"]["cid"], founder.federation)
        self.becomes_a_member(home, founder)
        # What was joined stays among the settings, and needs nobody any more.
        node.end()
        founder.end()
        again = self.newcomer(home, "--join", "lan", machine=machine)
        self.assertEqual(again.ledger()["federation"]["cid"], founder.federation)

    def test_where_stewards_admit_it_says_so_and_does_not_start(self):
        self.founder("town")
        code, words = self.refused(self.home("newcomer"), "--join", "lan")
        self.assertEqual(code, 4, words)
        self.assertIn("no federation with open enrolment answered on this network; 1 node is in one to which stewards admit", words)
        self.assertFalse((self.home("newcomer") / "federation.cbor").exists())
        code, words = self.refused(self.home("newcomer"), "--join", "lan", "--no-mdns")
        self.assertEqual(code, 2, words)
        self.assertIn("which --no-mdns forbids", words)

    def test_of_two_open_ones_it_takes_the_one_that_is_named(self):
        founders = [self.founder(name, "--open") for name in ("town", "village")]
        home = self.home("newcomer")
        code, words = self.refused(home, "--join", "lan")
        self.assertEqual(code, 1, words)
        for founder, name in zip(founders, ("town", "village"), strict=True):
            self.assertIn(f"{name} ({founder.federation[:19]})", words)
        self.assertFalse((home / "federation.cbor").exists())
        node = self.newcomer(home, "--join", "lan", "--federation", "village")
        self.assertEqual(node.ledger()["federation"]["cid"], founders[1].federation)
        self.becomes_a_member(home, founders[1])

    def test_a_federation_that_never_began_is_left_for_it(self):
        founder = self.founder("town", "--open")
        home = self.home("newcomer")
        self.found(home, "own", "--open")
        node = self.newcomer(home, "--join", "lan")
        self.assertEqual(node.ledger()["federation"]["cid"], founder.federation)
        self.assertIn("the federation own is dropped", (self.folder / "newcomer.log").read_text())
        self.becomes_a_member(home, founder)

    def test_a_person_who_says_yes_is_in(self):
        founder = self.founder("town", "--open")
        home = self.home("newcomer")
        person = self.asked(self.machine(), home)
        self.assertIn(f"town ({founder.federation[:19]}): 1 of its nodes answered", person.screen)
        self.assertIn("no credits, no pay until a steward admits it to more", person.screen)
        person.answer("perhaps\n")
        until(lambda: person.screen.count(QUESTION) == 2 or (person.look() and False), "it is asked again", PATIENCE_S)
        person.answer("y\n")
        person.await_up()
        person.sees("in the federation town")
        self.becomes_a_member(home, founder)

    def test_a_person_who_says_no_is_not_asked_again(self):
        self.founder("town", "--open")
        home, machine = self.home("newcomer"), self.machine()
        person = self.asked(machine, home)
        person.answer("n\n")
        person.await_up()
        person.sees("not asked again")
        self.assertEqual(person.end(), 0)
        self.assertFalse((home / "federation.cbor").exists())
        # Asked for another one, and for that alone.
        village = self.founder("village", "--open")
        person = self.asked(machine, home)
        self.assertIn(f"village ({village.federation[:19]})", person.screen)
        self.assertNotIn("town", person.screen)
        # Neither yes nor no: the node starts, and asks another time.
        person.answer("\n")
        person.await_up()
        self.assertEqual(person.end(), 0)
        self.assertFalse((home / "federation.cbor").exists())
        self.asked(machine, home)

    def test_of_several_one_is_taken_by_its_number(self):
        founders = [self.founder(name, "--open") for name in ("town", "village")]
        home, machine = self.home("newcomer"), self.machine()
        for _ in range(5):
            person = self.asked(machine, home)
            if "[1-2, or n for none]" in person.screen:
                break
            person.end()
        self.assertIn("1  town", person.screen)
        self.assertIn("2  village", person.screen)
        person.answer("2\n")
        person.await_up()
        person.sees("in the federation village")
        self.becomes_a_member(home, founders[1])

    def test_the_question_can_be_left_with_ctrl_c(self):
        self.founder("town", "--open")
        home = self.home("newcomer")
        person = self.asked(self.machine(), home)
        person.answer("\x03")
        until(lambda: person.look() is not None and person.process.poll() is not None, "the node ends", PATIENCE_S)
        self.assertEqual(person.process.returncode, 0)
        self.assertFalse((home / "federation.cbor").exists())
        self.assertFalse((home / "declined.cbor").exists())

    def test_without_a_terminal_nothing_is_asked_and_nothing_joined(self):
        founder = self.founder("town", "--open")
        home = self.home("newcomer")
        node = self.newcomer(home)
        until(lambda: [peer for peer in node.ask("GET", "/api/v1/peers") if peer["peer"] == founder.peer and peer["connected"]], "the two have met", PATIENCE_S)
        self.assertFalse((home / "federation.cbor").exists())
        self.assertNotIn("Join", (self.folder / "newcomer.log").read_text())
        self.assertNotIn(self.own(home), founder.members())

    def test_who_has_said_where_the_node_belongs_is_not_asked(self):
        self.founder("town", "--open")
        machine = self.machine()
        for number, flags in enumerate((["--federation", "local"], ["--no-mdns"], ["--quiet"])):
            person = Person(machine, self.home(f"newcomer{number}"), *flags)
            self.addCleanup(person.end)
            self.assertFalse(person.is_asked(), flags)
            person.await_up()
            self.assertEqual(person.end(), 0)
            self.assertNotIn("takes whoever comes", person.screen)


if __name__ == "__main__":
    main()
