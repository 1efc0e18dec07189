"""A federation's ledger in real processes: validators that are killed, come late, lose their disk or get an old copy of it back."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import unittest
from pathlib import Path

from meshes import COLLATZ, MESH, Federation, collatz_inputs, collatz_truth, environment, until

SEED = int(os.environ.get("MESH_LEDGER_SEED", "1"))
KILLS = int(os.environ.get("MESH_LEDGER_KILLS", "10"))
MICRO = 1_000_000
BUSY = ("--slots", "1")


class Ledger(Federation):
    def transfer(self, number, to, amount, timeout_ms=60_000):
        return self.nodes[number].ask(
            "POST", "/api/v1/ledger/transactions", {"kind": "transfer", "to": to, "amount": str(amount), "wait": "final", "timeout_ms": timeout_ms}
        )

    def come_in(self, numbers, token, bond):
        """Nodes that can work and verify for pay."""
        for number in numbers:
            node = self.up(number, token, flags=BUSY)
            until(lambda node=node: node.ask("GET", "/api/v1/ledger/accounts/self")["exists"], f"node {number} has its credits")
            node.ask("POST", "/api/v1/ledger/transactions", {"kind": "bond", "amount": str(bond), "wait": "final"})
        for number in numbers:
            until(lambda number=number: self.account(number)["attestation"], f"the ledger knows what node {number} can run")

    def run_paid(self, shards, fee):
        """A paid job of node 0, done as it should be."""
        job = self.nodes[0].submit(self.nodes[0].add(COLLATZ), collatz_inputs(shards, 1000), verifiers=3, fee=fee)
        view = self.nodes[0].wait(job, 300)
        self.assertEqual(view["phase"], "done", (view["failure"], view["notes"]))
        for shard, truth in enumerate(collatz_truth(shards, 1000)):
            self.assertEqual(self.nodes[0].result(job, shard), truth)
        return job, view

    def test_one_of_four_may_be_away_and_two_may_not(self):
        self.found(4)
        someone = self.did(9)
        first = self.transfer(0, someone, MICRO)
        self.assertEqual(first["status"], "final")
        self.kill(3)
        second = self.transfer(1, someone, MICRO)
        self.assertEqual(second["status"], "final", "three of four go on")
        self.kill(2)
        third = self.transfer(0, someone, MICRO, timeout_ms=2_000)
        self.assertEqual((third["status"], third["height"]), ("waiting", None), "two of four decide nothing, and say so")
        until(lambda: "no quorum: 2 of 4 validators heard" in Path(f"{self.home(0)}.log").read_text(), "node 0 says that there is no quorum")
        self.assertEqual(self.balance(0, someone), 2 * MICRO)
        self.up(2)
        until(lambda: self.balance(0, someone) == 3 * MICRO, "what waited becomes final with the third")
        self.up(3)
        fifth = self.up(4, self.token())
        height = self.ledger(0)["durable_height"]
        self.agree(range(5), height)
        for number in range(5):
            self.assertEqual(self.balance(number, someone), 3 * MICRO)
        self.assertEqual(fifth.ask("GET", "/api/v1/ledger/accounts/self")["member"]["roles"], ["member", "worker", "verifier"])
        for number in range(5):
            self.nodes[number].end()
            self.assertGreaterEqual(self.verify(number)["height"], height)

    def test_kills_at_random_moments_lose_nothing(self):
        chance = random.Random(SEED)
        self.found(4)
        someone = self.did(9)
        made, stop = [], threading.Event()

        def work(number):
            while not stop.is_set():
                try:
                    answer = self.transfer(number, someone, 2_000, timeout_ms=20_000)
                except (OSError, RuntimeError):  # It was killed, or is not up yet.
                    stop.wait(0.05)
                    continue
                if answer["status"] == "final":
                    made.append(answer)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        try:
            for kill in range(KILLS):
                before = len(made)
                until(lambda before=before: len(made) >= before + chance.randrange(1, 20), f"transactions go on before kill {kill + 1}")
                threading.Event().wait(chance.uniform(0, 0.05))
                # Now and then one more than may be away.
                victims = chance.sample(range(4), 2 if kill % 5 == 4 else 1)
                for victim in victims:
                    self.kill(victim)
                threading.Event().wait(chance.uniform(0, 0.5))
                for victim in victims:
                    self.up(victim)
            before = len(made)
            until(lambda: len(made) >= before + 20, "transactions go on after the last kill")
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        highest = max(answer["height"] for answer in made)
        chain = self.agree(range(4), highest)
        told = {}
        for height in chain:
            for transaction in self.nodes[0].ask("GET", f"/api/v1/ledger/blocks/{height}")["transactions"]:
                told[transaction["cid"]] = height
        for answer in made:
            self.assertEqual(told.get(answer["transaction"]), answer["height"], "what was told to be final is in the chain, where it was said to be")
        self.say(f"{len(made)} transactions were acknowledged over {KILLS} kills, {len(chain)} blocks; seed {SEED}")
        for number in range(4):
            self.nodes[number].end()
            report = self.verify(number)
            self.assertEqual(report["supply"], str(4 * 1100 * MICRO))

    def test_a_lost_disk_and_an_old_copy(self):
        token = self.found(4)
        someone = self.did(9)
        self.transfer(0, someone, MICRO)
        self.agree(range(4), 1)
        # An old copy of validator 3 is set aside; it goes on and votes.
        self.nodes[3].end()
        copy = self.folder / "copy"
        shutil.copytree(self.home(3), copy)
        self.up(3)
        for _ in range(5):
            height = self.transfer(3, someone, MICRO)["height"]
        self.agree(range(4), height)
        self.kill(3)
        shutil.rmtree(self.home(3))
        shutil.copytree(copy, self.home(3))
        self.up(3)
        self.agree(range(4), height)
        # The disk is lost, the key is not.
        self.kill(3)
        key = (copy / "node.key").read_bytes()
        shutil.rmtree(self.home(3))
        self.home(3).mkdir(mode=0o700)
        (self.home(3) / "node.key").write_bytes(key)
        (self.home(3) / "node.key").chmod(0o600)
        self.up(3, token)
        self.agree(range(4), height)
        self.assertNotEqual(self.ledger(3)["signs_from"], 0, "it may have signed what it does not know any more")
        until(lambda: self.ledger(3)["signs_from"] is not None, "the others have shown from where on it is safe to sign")
        # Of three, each is needed: so the one that came back takes part again.
        signs_from = self.ledger(3)["signs_from"]
        while self.transfer(0, someone, 2_000)["height"] < signs_from:
            pass
        self.kill(2)
        self.assertEqual(self.transfer(0, someone, 2_000)["status"], "final")
        self.up(2)
        height = self.ledger(0)["durable_height"]
        self.agree(range(4), height)
        for number in range(4):
            self.assertIsNone(self.ledger(number)["stopped"])

    def rotate(self, number, *flags):
        """`mesh wallet rotate`, and what it said; the new key."""
        code, output, errors = self.run_mesh(number, "wallet", "rotate", "--json", *flags)
        self.assertEqual(code, 0, errors)
        self.assertIn("start it again", errors)
        return json.loads(output)

    def restart(self, number):
        self.nodes[number].end()
        return self.up(number)

    def test_a_validators_key_is_rotated(self):
        token = self.found(4)
        someone, old_key = self.did(9), self.did(1)
        self.transfer(1, someone, MICRO)
        old_home = self.home(4)
        old_home.mkdir(mode=0o700)
        shutil.copy(self.home(1) / "node.key", old_home / "node.key")
        before, old_peer = self.account(1), self.nodes[1].peer
        made = self.rotate(1)
        self.assertEqual(made["status"], "final")
        after = self.account(1)
        self.assertEqual((after["account"], after["key"], after["peer"]), (old_key, made["key"], made["peer"]))
        self.assertEqual(self.transfer(1, someone, MICRO)["status"], "final", "the account goes on before the node is started again")
        code, _, errors = self.run_mesh(1, "wallet", "rotate")
        self.assertEqual(code, 1)
        self.assertIn("key-unchanged", errors)
        self.restart(1)
        self.assertEqual((self.nodes[1].peer, self.did(1)), (made["peer"], made["key"]))
        self.assertNotEqual(self.nodes[1].peer, old_peer)
        self.assertEqual((self.home(1) / "node.key.1").read_bytes(), (old_home / "node.key").read_bytes(), "the old key is kept")
        self.assertEqual((self.home(1) / "node.key.1").stat().st_mode & 0o777, 0o600)
        after = self.account(1)
        for name in ("account", "bonded", "at_stake", "reputation", "conflict", "offence"):
            self.assertEqual(after[name], before[name], name)
        self.assertEqual(after["member"]["roles"], before["member"]["roles"])
        self.assertLess(int(before["balance"]) - int(after["balance"]), 2 * MICRO, "what it gave away, and fees")
        seat = {one["account"]: one for one in self.ledger(1)["validators"]}[old_key]
        self.assertEqual((seat["key"], seat["self"], seat["power"]), (made["key"], True, "1"))
        code, output, _ = self.run_mesh(1, "wallet", "history", "--json")
        self.assertEqual([row["kind"] for row in json.loads(output)][:2], ["transfer", "rotate"])
        # It is needed now, and votes by the new key.
        self.kill(3)
        for number in (1, 0, 2):
            self.assertEqual(self.transfer(number, someone, MICRO)["status"], "final")
        self.up(3)
        # Credits that are sent to the new key are the account's.
        worth = self.worth(1)
        self.transfer(0, made["key"], MICRO)
        until(lambda: self.worth(1) == worth + MICRO, "they are there")
        # Whoever has the old key signs nothing with it.
        height = self.ledger(0)["durable_height"]
        self.up(4, token)
        until(lambda: self.ledger(4)["durable_height"] >= height, "the copy has the chain")
        with self.assertRaisesRegex(RuntimeError, "key-rotated"):
            self.transfer(4, someone, MICRO)
        self.nodes[4].end()
        # The home is lost but for the new key: the ledger says whose it is.
        self.nodes[1].end()
        key = (self.home(1) / "node.key").read_bytes()
        shutil.rmtree(self.home(1))
        self.home(1).mkdir(mode=0o700)
        (self.home(1) / "node.key").write_bytes(key)
        (self.home(1) / "node.key").chmod(0o600)
        self.up(1, token)
        until(lambda: self.account(1)["account"] == old_key, "the account is found again")
        self.assertEqual(self.account(1)["bonded"], before["bonded"])
        self.agree(range(4), height)
        for number in range(4):
            self.nodes[number].end()
            self.assertGreaterEqual(self.verify(number)["height"], height)

    def test_a_rotation_is_killed_at_any_moment(self):
        self.found(4)
        someone = self.did(9)
        # Between the key and the transaction.
        self.nodes[1].end()
        expected = self.did(8)
        shutil.copy(self.home(8) / "node.key", self.home(1) / "node.key.next")
        self.up(1)
        self.assertNotEqual(self.did(1), expected, "the ledger has not heard of it")
        self.assertEqual(self.rotate(1)["key"], expected, "the same again goes on with it")
        # Between the transaction and the restart; and of the restart.
        self.kill(1)
        self.up(1)
        self.assertEqual(self.did(1), expected)
        self.assertEqual(self.transfer(1, someone, MICRO)["status"], "final")
        # Wherever the kill finds it.
        chance = random.Random(SEED)
        for _ in range(3):
            before = self.did(1)
            command = subprocess.Popen(
                [MESH, "--home", str(self.home(1)), "wallet", "rotate"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
            )
            until(lambda: (self.home(1) / "node.key.next").exists(), "the key is written first")
            threading.Event().wait(chance.uniform(0, 0.1))
            self.kill(1)
            command.wait()
            next_key = (self.home(1) / "node.key.next").read_bytes()
            self.up(1)
            if self.did(1) == before:
                code, _, errors = self.run_mesh(1, "wallet", "rotate")
                self.assertTrue(code == 0 or "key-unchanged" in errors, errors)
                self.restart(1)
            self.assertEqual((self.home(1) / "node.key").read_bytes(), next_key)
            self.assertNotEqual(self.did(1), before)
            self.assertEqual(self.account(1)["key"], self.did(1))
            self.assertEqual(self.transfer(1, someone, MICRO)["status"], "final")
        # All others are needed with it.
        self.kill(3)
        height = self.transfer(0, someone, MICRO)["height"]
        self.agree(range(3), height)
        for number in range(3):
            self.nodes[number].end()
            self.verify(number)

    def test_a_paid_job_of_nodes_that_have_other_keys(self):
        self.found(1)
        shards, fee, bond = 4, 100_000, 5 * MICRO
        token = self.token(credits=10 * MICRO, uses=5)
        others = range(1, 6)
        self.come_in(others, token, bond)
        first = {number: self.account(number)["account"] for number in range(6)}
        for number in range(6):
            made = self.rotate(number)
            self.nodes[number].end()
            self.assertEqual(self.up(number, flags=BUSY if number in others else ("--slots", "1", "--no-work")).peer, made["peer"])
        self.all_meet(self.nodes[0])
        before = {number: self.worth(number) for number in range(6)}
        job, _ = self.run_paid(shards, fee)
        code, output, errors = self.run_mesh(0, "job", "payment", job, "--wait", 100, "--json")
        self.assertEqual(code, 0, errors)
        escrow = json.loads(output)
        self.assertEqual((escrow["state"], escrow["shards_paid"]), ("ended", shards))
        self.check_payment(job, escrow)
        accounts = {number: self.account(number) for number in range(6)}
        self.assertEqual({number: account["account"] for number, account in accounts.items()}, first)
        workers = [number for number in others if self.worth(number) - before[number] >= fee * 4 // 5]
        self.assertTrue(workers, "the worker is paid into the account that it always had")
        for number in workers:
            self.assertGreater(int(accounts[number]["reputation"]["execution"]), 0)
        # Another key once more, and the job can still be shown.
        self.rotate(0)
        self.restart(0)
        self.check_payment(job, escrow)
        for number in range(6):
            self.nodes[number].end()
            self.verify(number)

    def test_a_paid_job(self):
        self.found(1)
        shards, fee, gift, bond = 4, 100_000, 10 * MICRO, 5 * MICRO
        token = self.token(credits=gift, uses=5)
        others = range(1, 6)
        self.come_in(others, token, bond)
        self.all_meet(self.nodes[0])
        before = {number: self.worth(number) for number in range(6)}
        job, view = self.run_paid(shards, fee)
        self.assertEqual(view["escrow"]["state"], "locked", "the result does not wait for the time for disputes")

        def states():
            return {work["state"] for work in self.nodes[0].ask("GET", f"/api/v1/tasks/{job}")["escrow"]["works"]}

        until(lambda: states() == {"revealed"}, "nor for the blocks with what it goes by, and they come")
        code, output, errors = self.run_mesh(0, "job", "payment", job, "--wait", 100, "--json")
        self.assertEqual(code, 0, errors)
        escrow = json.loads(output)
        self.assertEqual(escrow["state"], "ended")
        self.assertEqual(escrow["locked"], str(shards * fee))
        self.assertEqual((escrow["held"], escrow["shards_paid"]), ("0", shards))
        paid, back = int(escrow["paid"]), int(escrow["refunded"])
        self.assertEqual(paid + back, shards * fee)
        price = self.nodes[1].ask("GET", f"/api/v1/ledger/price?fuel={view['scope']['fuel']}")
        self.assertEqual(price["works"], len(escrow["works"]))
        self.assertLess(abs(int(price["fee"]) - fee), 10, "who asks for the price that is paid pays the same again")
        height = self.ledger(0)["durable_height"]
        self.agree(range(6), height)
        after = {number: self.worth(number) for number in range(6)}
        workers = {part["worker"] for part in escrow["works"]}
        earned = sum(int(one["amount"]) for part in escrow["works"] for one in part["payouts"])
        self.assertEqual((earned, {one["from_bond"] for part in escrow["works"] for one in part["payouts"]}), (paid, {False}))
        for number in others:
            if self.nodes[number].peer in workers:
                self.assertGreater(after[number], before[number], "who works is paid more than its transactions cost")
        self.assertLess(after[0], before[0] - shards * fee // 10)
        whole = self.check_payment(job, escrow)
        # A kill forgets nothing of it, though the ledger forgets.
        self.kill(0)
        self.up(0)
        self.assertEqual(self.check_payment(job, escrow)["works"], whole["works"])
        for number in range(6):
            self.nodes[number].end()
            report = self.verify(number)
            self.assertEqual(report["supply"], str(1100 * MICRO))
        self.say(f"{shards} shards at {fee} micro-credits: {paid} paid, {back} came back; worth before {before}, after {after}")

    def check_payment(self, job, escrow):
        """The bundle of a paid job proves offline what the job says was paid."""
        file = self.folder / "paid.car"
        code, _, errors = self.run_mesh(0, "receipt", "export", job, "--file", file)
        self.assertEqual(code, 0, errors)
        home = self.folder / "nobody"
        done = subprocess.run([MESH, "--home", str(home), "receipt", "verify", str(file), "--json"], capture_output=True, env=environment(), check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        report = json.loads(done.stdout)
        self.assertEqual((report["accepted"], report["missing"]), (report["shards_total"], 0))
        payment = report["payment"]
        self.assertEqual((payment["state"], payment["complete"], payment["held"]), ("ended", True, "0"))
        self.assertEqual((payment["locked"], payment["refunded"]), (escrow["locked"], escrow["refunded"]))
        self.assertEqual(sum(int(payment[part]) for part in ("to_workers", "to_verifiers", "to_treasury")), int(escrow["paid"]))
        self.assertEqual(payment["percentages"], {"worker": 90, "verifiers": 10, "treasury": 0})
        self.assertLessEqual(int(payment["to_verifiers"]), int(payment["locked"]) // 10)
        self.assertEqual((payment["certified"]["signers"], payment["certified"]["validators"]), (1, 1))
        self.assertEqual({work["commitment"] for work in payment["works"]}, {part["commitment"] for part in escrow["works"]})
        self.assertTrue(all(work["drawings"] > 0 for work in payment["works"]))
        block = self.nodes[0].ask("GET", f"/api/v1/ledger/blocks/{payment['certified']['height']}")
        self.assertEqual(block["cid"], payment["certified"]["block"])
        code, _, errors = self.run_mesh(9, "receipt", "verify", file)
        self.assertEqual(code, 0, errors)
        self.assertIn("payment: proven: 0.4 locked", errors)
        self.assertIn("which 1 of 1 validators certify", errors)
        code, _, errors = self.run_mesh(9, "receipt", "verify", file, "--each-shard")
        self.assertEqual(code, 0, errors)
        # One bit of one block of it, whichever that is.
        broken = bytearray(file.read_bytes())
        broken[len(broken) // 2] ^= 1
        file.write_bytes(broken)
        code, _, errors = self.run_mesh(9, "receipt", "verify", file)
        self.assertEqual(code, 6, errors)
        return payment

    def test_invitations(self):
        self.found(1)
        twice = self.token(roles=["member", "worker"], credits=5 * MICRO, uses=2)
        for number in (1, 2):
            node = self.up(number, twice)
            until(lambda node=node: node.ask("GET", "/api/v1/ledger/accounts/self")["exists"], "its account is there")
            account = node.ask("GET", "/api/v1/ledger/accounts/self")
            self.assertEqual(account["member"]["roles"], ["member", "worker"])
            self.assertEqual(account["balance"], str(5 * MICRO))
        third = self.up(3, twice)  # It follows, and is nobody.
        until(lambda: third.ask("GET", "/api/v1/ledger")["durable_height"] == self.ledger(0)["durable_height"], "it follows the chain")
        self.assertIsNone(third.ask("GET", "/api/v1/ledger/accounts/self")["member"])
        self.assertEqual(self.balance(0, self.did(0)), 990 * MICRO - 3 * 100, "two gifts, and what three transactions cost")
        with self.assertRaisesRegex(RuntimeError, "steward"):
            self.nodes[1].ask("POST", "/api/v1/invitations", {})
        code, _, errors = self.run_mesh(4, "up", "--no-mdns", "--api", "127.0.0.1:0", "--join", twice[:-1])
        self.assertEqual(code, 2, errors)
        self.assertIn("the token does not read", errors)
        self.nodes[1].end()
        code, _, errors = self.run_mesh(1, "federation", "found", "other")
        self.assertEqual(code, 1)
        self.assertIn("already", errors)


class Leaving(Federation):
    """A home that has founded a federation, and comes into another one by a token."""

    def found_own(self, number, *flags):
        code, _, errors = self.run_mesh(number, "federation", "found", "own", *flags)
        self.assertEqual(code, 0, errors)

    def refusal(self, number, token):
        code, _, errors = self.run_mesh(number, "up", "--no-mdns", "--api", "127.0.0.1:0", "--join", token)
        self.assertEqual(code, 1, errors)
        return errors

    def test_what_never_began_is_dropped_and_what_began_stays(self):
        self.found(1)
        token = self.token(uses=1)
        self.found_own(1)
        self.up(1, token)
        self.assertEqual(self.ledger(1)["federation"]["cid"], self.ledger(0)["federation"]["cid"])
        until(lambda: self.account(1)["member"], "it is a member")
        self.assertIn("the federation own is dropped", self.home(1).with_name("node1.log").read_text())

        self.found_own(2)
        self.up(2)
        until(lambda: self.ledger(2)["durable_height"] >= 1, "its first block")
        own = self.ledger(2)["federation"]["cid"]
        self.nodes[2].end()
        token = self.token(uses=1)
        self.assertRegex(self.refusal(2, token), r"its chain is at height [1-9].*is not built")
        self.found_own(4, "--founder", self.did(5))
        self.assertIn("others founded it with this node", self.refusal(4, token))
        # The invitation was not used up by those, and the first has its chain still.
        self.up(2)
        self.assertEqual(self.ledger(2)["federation"]["cid"], own)
        self.up(3, token)
        self.assertEqual(self.ledger(3)["federation"]["cid"], self.ledger(0)["federation"]["cid"])
        until(lambda: self.account(3)["member"], "it is a member")


if __name__ == "__main__":
    unittest.main()
