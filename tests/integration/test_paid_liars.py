"""Liars who are paid for it, if they can: 8 real processes in a federation with a ledger, where every micro-credit is accounted for.

All of it happens in one mesh and at once, since each work waits half a minute for whoever doubts it: five jobs, and in each somebody else
does not do his part. Who gets how much is worked out here again from the policy's rules and what the ledger shows of the draws."""

import signal
import threading
import time
import unittest
from collections import Counter, defaultdict

from meshes import COLLATZ, Federation, Liar, until

CREDIT = 1_000_000
MINIMUM_BOND = CREDIT
TRANSACTION_FEE = 100
FREE = {"grant", "member", "revoke", "validators", "evidence"}
SKIP_PENALTY = 1_000

# Who they are, by number. The first four found the federation and are its validators; 1 and 2 verify, and do nothing else here.
PUBLISHER, LIAR, WORKER, SILENT, COPIER, GONE = 0, 3, 4, 5, 6, 7
VERIFIERS = (0, 1, 2, WORKER)
EVERYBODY = range(8)
# A task for which a node has not the memory is none that it works on, or verifies.
LITTLE, MUCH = 128, 300
LITTLE_MEMORY = ("--memory", "256")
SLOTS = ("--slots", "1")

RUN_S = {"fetch": 3, "run": 7}
BID_S = 30  # Over as soon as everybody has answered.
QUICK = "1 1000"
SLOW = "1 300000"  # So long that its worker is seen at it.


class Town(Federation):
    def lying(self, number, mode, *joins, flags=()):
        return self.place(number, Liar(self.home(number), mode, [*joins, *self.others(number)], flags=flags))

    def transact(self, number, **body):
        made = self.nodes[number].ask("POST", "/api/v1/ledger/transactions", {**body, "wait": "final", "timeout_ms": 60_000})
        self.assertEqual(made["status"], "final", made)

    def transact_at_once(self, *makers):
        """Each of them a call of its own; blocks hold what comes together."""
        failures = []

        def run(make):
            try:
                make()
            except Exception as error:  # noqa: BLE001, told below
                failures.append(error)

        threads = [threading.Thread(target=run, args=(make,)) for make in makers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def books(self):
        """What everybody has at one height."""

        def look():
            ledger = self.ledger(0)
            accounts = {number: self.nodes[0].ask("GET", f"/api/v1/ledger/accounts/{self.dids[number]}") for number in EVERYBODY}
            if any(account["height"] != ledger["height"] for account in accounts.values()):
                return None
            return {"height": ledger["height"], "totals": {name: int(value) for name, value in ledger["totals"].items()}, "accounts": accounts}

        books = until(look, "the ledger stands still for a moment")
        totals = books["totals"]
        parts = ("balances", "bonded", "unbonding", "escrowed", "treasury")
        self.assertEqual(totals["supply"], sum(totals[part] for part in parts))
        self.assertEqual(totals["balances"], sum(int(account["balance"]) for account in books["accounts"].values()), "nobody else has anything")
        self.assertEqual(totals["bonded"], sum(int(account["bonded"]) for account in books["accounts"].values()))
        return books

    def costs(self, before, after):
        """What each has paid for its transactions between the two."""
        costs = Counter()
        until(lambda: self.ledger(0)["durable_height"] >= after["height"], "all of these blocks are durable")
        for height in range(before["height"] + 1, after["height"] + 1):
            for transaction in self.nodes[0].ask("GET", f"/api/v1/ledger/blocks/{height}")["transactions"]:
                costs[transaction["account"]] += 0 if transaction["kind"] in FREE else TRANSACTION_FEE
        return costs

    def run_job(self, number, name, text, fee, verifiers, memory, **limits_s):
        """`mesh run --fee` on a node; the job, which is the intent's name, too."""
        inputs = self.folder / f"{name}.txt"
        inputs.write_text(text)
        words = [COLLATZ, "--map", "-i", inputs, "--fee", fee, "--verifiers", verifiers, "--memory", memory, "--fuel", self.fuel]
        for phase, limit_s in {"bid": BID_S, **RUN_S, **limits_s}.items():
            words += ["--timeout", f"{phase}={limit_s}"]
        job = self.nodes[number].mesh("run", *words, "--label", name, "--detach")
        return self.begun(name, job.decode().strip())

    def begun(self, name, job):
        self.jobs[name] = job
        return job

    def works(self, name):
        """All that was ever anchored of a job."""
        for work in self.nodes[0].ask("GET", f"/api/v1/ledger/escrows/{self.jobs[name]}/works")["works"]:
            if work["phase"] != "ended":
                self.open_works[work["commitment"]] = work
            self.seen[name][work["commitment"]] = work
        return list(self.seen[name].values())

    def escrow(self, name):
        return self.nodes[0].ask("GET", f"/api/v1/ledger/escrows/{self.jobs[name]}")

    def look_around(self):
        """The ledger forgets draws and answers when a work ends, so whoever waits for anything looks at all of them."""
        for name in self.jobs:
            self.works(name)

    def wait_for(self, condition, what, limit_s=180):
        def look():
            self.look_around()
            return condition()

        return until(look, what, limit_s)

    def gains(self, work, fee):
        """By the rules: what each gets out of a work of one shard (or loses), and the treasury."""
        before = self.open_works[work["commitment"]]
        draw = before["draws"][0]
        self.assertEqual(len(before["draws"]), 1, "nothing here is without a majority")
        weights = {drawn["node"]: drawn["weight"] for drawn in draw["nodes"]}
        committed = [answer["node"] for answer in before["answers"]]
        honest = [node for node in committed if node != self.dids[COPIER]]
        pot, seats = fee // 10, draw["seats"]
        gains, treasury, publishers = Counter(), 0, 0
        if work["ending"] == "silent":
            owed = {node: pot // seats for node in committed}
            penalty = max(sum(owed.values()), fee)
        else:
            total = sum(weights[node] for node in honest)
            owed = {node: pot * weights[node] // total for node in honest}
            penalty = max(sum(owed.values()), MINIMUM_BOND, fee) if work["rejected"] else 0
            for node in set(committed) - set(honest):
                gains[node] -= pot // seats
                treasury += pot // seats
        if work["accepted"]:
            price = min(int(work["cost"]), fee * 90 // 100)
            workers = price * len(honest) * work["timeliness_per_mille"] // (seats * 1000)
            gains[work["worker"]] += workers
            publishers = workers + sum(owed.values())
        else:
            gains[work["worker"]] -= penalty
            treasury += penalty - sum(owed.values())
        for node, share in owed.items():
            gains[node] += share
        return gains, treasury, publishers


class PaidLiars(Town):
    def setUp(self):
        super().setUp()
        self.jobs = {}  # By what happens in them.
        self.seen = defaultdict(dict)  # Of each the works, by commitment, as they were last seen,
        self.open_works = {}  # and all works as they were last seen before they ended.

    def found_the_town(self):
        self.write_charter(4)
        self.dids = {number: self.did(number) for number in EVERYBODY}
        self.up(0, flags=SLOTS)
        way = self.token(uses=1)
        self.up(1, way, flags=SLOTS)
        self.up(2, way, flags=SLOTS)
        self.lying(LIAR, "result", way, flags=LITTLE_MEMORY)
        roles = {number: ["member", "verifier", "validator", "steward"] for number in (0, 1, 2)}
        roles |= {
            LIAR: ["member", "worker", "validator", "steward"],
            WORKER: ["member", "worker", "verifier"],
            SILENT: ["member", "worker", "verifier"],
            COPIER: ["member", "verifier"],
            GONE: ["member"],
        }
        gifts = {WORKER: 40, SILENT: 110, COPIER: 10, GONE: 50}
        self.transact_at_once(
            *(lambda number=number: self.transact(0, kind="member", node=self.dids[number], roles=roles[number]) for number in roles),
            *(lambda number=number: self.transact(0, kind="transfer", to=self.dids[number], amount=str(gifts[number] * CREDIT)) for number in gifts),
        )
        return way

    def bond(self, number, credits):
        until(lambda: self.account(number)["exists"], f"node {number} knows of its account")
        self.transact(number, kind="bond", amount=str(credits * CREDIT))

    def attested(self, *numbers):
        return [
            until(lambda number=number: self.account(number)["attestation"], f"the ledger knows what node {number} can run")["fuel_per_second"]
            for number in numbers
        ]

    def test_nobody_gains_by_lying(self):
        began = time.monotonic()
        way = self.found_the_town()
        before = self.books()
        self.up(WORKER, way, flags=(*SLOTS, "--log-level", "debug"))
        self.lying(SILENT, "silent", way)
        self.transact_at_once(lambda: self.bond(WORKER, 20), lambda: self.bond(SILENT, 101))
        # What every verifier can do in a fifth of the time that it has.
        self.fuel = min(self.attested(1, 2, WORKER)) * sum(RUN_S.values()) // 5

        # More than anybody else has a bond for; and no job for the copier, who could not be told from the honest where nobody reveals.
        self.run_job(PUBLISHER, "silence", QUICK, 100 * CREDIT, 3, LITTLE, total=60)
        self.lying(COPIER, "copy", way, flags=LITTLE_MEMORY)
        self.lying(GONE, "hides", way)
        self.attested(SILENT, COPIER)
        self.wait_for(lambda: any(work["draws"] for work in self.works("silence")), "somebody is drawn for whom the silent one worked")
        self.bond(COPIER, 5)
        self.all_meet(self.nodes[0], self.nodes[GONE])

        # Two shards: one for the liar, one for the honest worker, who does the other as well in the end.
        self.run_job(PUBLISHER, "lie", f"{QUICK}\n{QUICK}\n", 2 * CREDIT, 3, LITTLE)
        self.hide()
        self.vanish()
        self.wait_for(lambda: all(self.escrow(name)["state"] == "ended" for name in self.jobs), "all escrows end")
        self.look_around()
        after = self.books()

        self.check_the_silent(after)
        self.check_the_liar(before, after)
        self.check_the_copier(before, after)
        self.check_the_publisher()
        self.check_the_sums(before, after)
        self.say(f"{len(self.open_works)} works in {len(self.jobs)} jobs; {time.monotonic() - began:.1f} s")

    def hide(self):
        """A publisher that says nothing after its awards, while everybody else does his part."""
        node = self.nodes[GONE]
        function = self.nodes[0].add(COLLATZ)
        limits = {f"{phase}_ms": limit_s * 1000 for phase, limit_s in RUN_S.items()}
        terms = {"fee": 2 * CREDIT, "verifiers": 4, "memory_mb": MUCH, "fuel": self.fuel, "limits": limits}
        self.begun("hidden", node.submit(function, [SLOW], label="hidden", bid_window_ms=BID_S * 1000, **terms))
        honest = {self.dids[number] for number in (0, 1, 2)}
        self.wait_for(
            lambda: any(honest == {answer["node"] for answer in work["answers"] if answer["revealed"]} for work in self.works("hidden")),
            "the worker and all honest verifiers reveal, whatever their publisher says",
        )

    def vanish(self):
        """The same home without lies, and its end: one of its jobs is anchored by then, another awarded a moment ago."""
        self.nodes[GONE].end()
        node = self.up(GONE)
        self.run_job(GONE, "anchored", SLOW, 2 * CREDIT, 4, MUCH)
        self.wait_for(lambda: self.works("anchored"), "what the worker committed to is anchored")
        job = self.run_job(GONE, "awarded", SLOW, 2 * CREDIT, 4, MUCH)

        log = self.folder / f"node{WORKER}.log"
        until(lambda: f"run.started {job[:19]}" in log.read_text(), "the shard is awarded, and its worker is at it")
        node.end(signal.SIGKILL)

    # What came of it.

    def ended(self, name):
        return sorted(self.seen[name].values(), key=lambda work: work["anchored_height"])

    def change(self, before, after, number, what):
        return int(after["accounts"][number][what]) - int(before["accounts"][number][what])

    def reputation(self, books, number, what):
        return int(books["accounts"][number]["reputation"][what])

    def check_the_silent(self, after):
        (work,) = self.ended("silence")
        self.assertEqual((work["worker"], work["ending"], work["undecided"]), (self.dids[SILENT], "silent", 1))
        self.assertEqual(int(after["accounts"][SILENT]["bonded"]), CREDIT, "the fee of its shard is gone out of its bond")
        self.assertGreater(self.reputation(after, SILENT, "missed"), 0)
        paid = {payout["account"] for payout in work["payouts"] if not payout["from_bond"]}
        self.assertEqual(paid, {self.dids[number] for number in (1, 2, WORKER)}, "who waited for it")
        escrow = self.escrow("silence")
        self.assertEqual((escrow["paid"], escrow["held"]), (0, "0"), "and the publisher has all of it back")
        # As a verifier it never answered, and lost every seat that it had.
        for name in ("hidden", "anchored", "awarded"):
            for one in self.seen[name]:
                stood = self.open_works[one]
                self.assertIn(self.dids[SILENT], {passed["node"] for passed in stood["passed_over"]}, stood)
                self.assertNotIn(self.dids[SILENT], {answer["node"] for answer in stood["answers"]})

    def check_the_liar(self, before, after):
        works = self.ended("lie")
        lies = [work for work in works if work["worker"] == self.dids[LIAR]]
        self.assertEqual([work["rejected"] for work in lies], [1])
        self.assertEqual([work["accepted"] for work in works if work["worker"] == self.dids[WORKER]], [1, 1], "another does the shard, and is paid")
        self.assertIn({"account": self.dids[LIAR], "amount": str(2 * CREDIT), "from_bond": True}, lies[0]["payouts"], "the fee, which is more than the minimum")
        self.assertLessEqual(self.change(before, after, LIAR, "bonded"), -2 * CREDIT)
        self.assertLess(self.reputation(after, LIAR, "score"), self.reputation(before, LIAR, "score"))
        paid = {payout["account"] for payout in lies[0]["payouts"] if not payout["from_bond"]}
        self.assertTrue(paid)
        self.assertLessEqual(paid, {self.dids[number] for number in VERIFIERS})
        view = self.nodes[PUBLISHER].wait(self.jobs["lie"], 60)
        self.assertEqual(view["phase"], "done", (view["failure"], view["notes"]))
        for shard in range(2):
            self.assertEqual(self.nodes[PUBLISHER].result(self.jobs["lie"], shard), b"871 179\n")
        self.assertEqual(self.escrow("lie")["paid"], 2)

    def check_the_copier(self, before, after):
        copier = self.dids[COPIER]
        copies = [answer for work in self.open_works.values() for answer in work["answers"] if answer["node"] == copier]
        self.assertGreaterEqual(len(copies), 1, "it had a seat on what the honest worker did")
        self.assertEqual([copy["revealed"] for copy in copies], [False] * len(copies))
        payouts = [payout for works in self.seen.values() for work in works.values() for payout in work["payouts"] if payout["account"] == copier]
        self.assertEqual([payout["from_bond"] for payout in payouts], [True] * len(copies), "it pays for each, and is paid for none")
        self.assertLess(self.change(before, after, COPIER, "balance") + self.change(before, after, COPIER, "bonded"), 0)
        told = (self.folder / f"node{COPIER}.log").read_text()
        self.assertIn("a lie was taken", told)
        self.assertEqual(told.count("a lie was refused: bad-verification"), len(copies), told[-2000:])

    def check_the_publisher(self):
        for name in ("hidden", "anchored", "awarded"):
            (work,) = self.ended(name)
            self.assertEqual((work["worker"], work["ending"], work["accepted"]), (self.dids[WORKER], "settled", 1), name)
            paid = {payout["account"] for payout in work["payouts"] if not payout["from_bond"]}
            self.assertEqual(paid, {self.dids[number] for number in VERIFIERS}, "the worker, and who verified")
            self.assertEqual(self.escrow(name)["paid"], 1, name)

    def check_the_sums(self, before, after):
        """Every account, to the micro-credit."""
        expected, treasury = Counter(), 0
        for name in self.jobs:
            escrow = self.escrow(name)
            for work in self.ended(name):
                gains, to_treasury, publishers = self.gains(work, int(escrow["fee"]))
                told = Counter()
                for payout in work["payouts"]:
                    told[payout["account"]] += int(payout["amount"]) * (-1 if payout["from_bond"] else 1)
                self.assertEqual(told, gains, (name, work, self.open_works[work["commitment"]]))
                self.assertEqual(int(work["to_treasury"]), to_treasury)
                expected.update(gains)
                expected[escrow["publisher"]] -= publishers
                treasury += to_treasury
        skips = 0
        costs = self.costs(before, after)
        for number in EVERYBODY:
            worth = sum(self.change(before, after, number, what) for what in ("balance", "bonded"))
            self.assertEqual(after["accounts"][number]["unbonding"], [])
            left = expected[self.dids[number]] - costs[self.dids[number]] - worth
            if number < 4:  # A validator that was late with its link of the beacon.
                self.assertEqual(left % SKIP_PENALTY, 0, number)
                self.assertGreaterEqual(left, 0)
                skips += left
            else:
                self.assertEqual(left, 0, number)
        self.assertEqual(after["totals"]["treasury"] - before["totals"]["treasury"], treasury + skips + sum(costs.values()))
        self.assertEqual(after["totals"]["supply"], before["totals"]["supply"])
        self.assertEqual(after["totals"]["supply"], 4 * 1100 * CREDIT)
        self.assertEqual(after["totals"]["escrowed"], 0)


if __name__ == "__main__":
    unittest.main()
