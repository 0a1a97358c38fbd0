"""Checks a chain by SPEC.md alone: a second implementation, which shares no code with the first.

In comes a JSON file with what nodes of a network said, as bytes in hexadecimal, and what its commands printed. All that
can be computed is: names, blocks from genesis on and their certificates, turns, epochs, beacons with their BLS
signatures, pulses, a whole state from a snapshot, proofs of records, rosters and draws, and each commitment with its
slots and its money. What differs is refused. Out comes a line of JSON that says what was checked. Other transactions are
not executed: what they result in is compared where it follows from all records together. Needs Python 3.11 and nothing
else.

    verify.py EXPORT              checks
    verify.py EXPORT --tamper N   also checks that a change of any byte is refused: N places of each kind of input
"""

import json
import sys
from pathlib import Path

import names
import signatures
import tamper
from audits import REASONS
from blake3 import blake3
from borsh import Reader, Refused, Value, require
from chain import Chain
from commitments import receipts_needed
from draw import caps, draw, fits
from formats import FORMATS, decode, encode
from genesis import read as read_genesis
from roster import read_answer
from state import EPOCH, FAULT, State, check_proven, read_snapshot


class Export:
    """What is to be checked: bytes, where the file has hexadecimal."""

    def __init__(self, file):
        self.genesis = file["genesis"]
        self.blocks = [bytes.fromhex(block) for block in file["blocks"]]
        self.handovers = [bytes.fromhex(handover) for handover in file["handovers"]]
        self.snapshot = bytes.fromhex(file["snapshot"])
        self.chunks = [bytes.fromhex(chunk) for chunk in file["chunks"]]
        self.records = [bytes.fromhex(answer) for answer in file["records"]]
        self.draws = [
            Value(seed=bytes.fromhex(one["seed"]), code=Value(**one["code"]), answer=bytes.fromhex(one["answer"]),
                  drawn=[bytes.fromhex(node) for node in one["drawn"]])
            for one in file["draws"]
        ]
        self.printed = file["printed"]


# What reading what is not as it should be raises.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Checked:
    """One pass over an export."""

    def __init__(self, export):
        try:
            self._check(export)
        except UNREADABLE as error:
            raise Refused(f"something is missing, or not as it should be: {error!r}") from error

    def _check(self, export):
        genesis, chain_id = read_genesis(export.genesis)
        self.export, self.chain, self.state = export, Chain(genesis, chain_id, export.handovers), None
        self.sets = {0: self.chain.members}
        self._blocks()
        self._records()
        self._draws()
        self._commits()
        self._printed()

    def _blocks(self):
        at = decode("certified", self.export.snapshot)
        for block in self.export.blocks:
            members = self.chain.members
            self.chain.append(block)
            self.sets[self.chain.height] = members
            if self.chain.height == at.header.height:
                self._certified(at.header, at.certificate)
                self.state = State(read_snapshot(self.export.chunks, at.header.state), self.chain)
                self.state.check()
        require(self.state, "there is no block of the snapshot")
        self.chain.finish()

    def _certified(self, header, certificate):
        """Checks that a header that came with an answer is the chain's."""
        require(0 < header.height <= self.chain.height, "there is no such block yet")
        require(header == self.chain.headers[header.height - 1], "a header is not the chain's")
        self.chain.certified(header, certificate, self.sets[header.height])

    def _records(self):
        self.proven, self.absent = 0, 0
        for data in self.export.records:
            answer = decode("records_answer", data)
            self._certified(answer.header, answer.certificate)
            for one in answer.records:
                check_proven(one, answer.header.state)
                self.proven += one.value is not None
                self.absent += one.value is None

    def _draws(self):
        """Computes every draw from what its answer shows of the roster."""
        self.drawn, self.hidden, self.by_pulse = {}, 0, 0
        for one in self.export.draws:
            seed = decode("seed", one.seed)
            require(seed.randomness == self._randomness(seed), "a draw has another seed")
            epoch = self.state.of(EPOCH)[seed.draw.epoch.to_bytes(8, "big")]
            reader = Reader(one.answer)
            header, certificate = (FORMATS.table[name].read(reader) for name in ("header", "certificate"))
            self._certified(header, certificate)
            require(encode("certified", Value(header=header, certificate=certificate)) == one.answer[:reader.at],
                    "an answer is not in its one encoding")
            tree = read_answer(one.answer[reader.at:], epoch.roster)
            self.hidden += not tree.is_whole()
            limits = caps(epoch, one.code, self.chain.params.min_domains)
            leaves = draw(tree, seed, one.code.n, limits)
            require([leaf.provider for leaf in leaves] == one.drawn, "the node drew others")
            self.drawn[(seed.account, seed.extent, encode("draw", seed.draw), one.code.n)] = (leaves, limits)

    def _randomness(self, seed):
        epoch, since = self.chain.epochs[seed.draw.epoch], self._identities().get(seed.account, 0)
        if since < epoch.first:
            return epoch.beacon
        self.by_pulse += 1
        return self.chain.pulses[-(-since // self.chain.params.time.beacon_blocks)]

    def _identities(self):
        """Since when each account exists, as those know it that draw as it, or as it is."""
        accounts = self.state.of(2)
        own = {account: record.since for account, record in accounts.items()}
        return own | {record.draws_as.account: record.draws_as.since for record in accounts.values() if record.draws_as}

    def _identity(self, account):
        record = self.state.of(2).get(account)
        return record.draws_as.account if record and record.draws_as else account

    def _commits(self):
        """Every slot of a commit is in its draw, and all together hold the caps."""
        for committed in self.chain.commits:
            params, commit, epoch = self.chain.params, committed.action, committed.start
            key = (self._identity(committed.account), commit.extent, encode("draw", commit.draw), commit.code.n)
            require(key in self.drawn, "the draw of a commit is missing")
            leaves, limits = self.drawn[key]
            by_node = {leaf.provider: leaf for leaf in leaves}
            require(all(slot.provider in by_node for slot in commit.slots), "a slot is not in the draw")
            require(fits([by_node[slot.provider] for slot in commit.slots], limits), "the slots break the caps")
            self._receipts(committed, by_node)
            given = sum(slot.receipt is not None for slot in commit.slots)
            require(given >= receipts_needed(commit.code), "a commit has too few receipts")
            require(epoch - params.draw_epochs < commit.draw.epoch <= epoch < commit.end <= epoch + params.term_epochs
                    and commit.draw.number < params.draws, "a commit is not of its time")

    def _receipts(self, committed, by_node):
        """Each is for all columns, and for the price of the roster."""
        commit = committed.action
        columns = blake3(encode("columns", [slot.column for slot in commit.slots]))
        for index, slot in enumerate(commit.slots):
            ask = by_node[slot.provider].offer.price
            require(ask <= slot.cap and commit.end <= commit.until, "a commit pays less than its receipts say")
            if slot.receipt is not None:
                receipt = Value(account=committed.account, object=commit.object, extent=commit.extent, index=index,
                                draw=commit.draw, columns=columns, code=commit.code, column_len=commit.column_len,
                                ask=ask, until=commit.until)
                signatures.check("receipt", self.chain.id, "receipt", receipt, slot.provider, slot.receipt)

    def _printed(self):
        """What the commands printed is the same."""
        printed = self.export.printed
        for block in printed["blocks"]:
            header = self.chain.headers[block["height"] - 1]
            for name in ("parent", "txs", "charged", "proofs", "state", "history", "validators", "next_validators", "beacon"):
                require(getattr(header, name).hex() == block[name], f"`ledger block` prints another {name}")
            proposer = names.key("vote key", block["proposer"])
            require(proposer == header.proposer, "`ledger block` prints another proposer")
        for one in printed["epochs"]:
            epoch = self.state.of(EPOCH)[one["epoch"].to_bytes(8, "big")]
            require((epoch.start_ms, epoch.first) == (one["start_ms"], one["first"])
                    and epoch.beacon.hex() == one["beacon"] and epoch.roster.weight == one["weight"],
                    "`ledger epoch` prints another epoch")
            faults = {(names.key("node", fault["provider"]), reason, fault["evidence"])
                      for fault in one["faults"] for reason in fault["reasons"]}
            require(faults == self._faults(one["epoch"]), "`ledger epoch` prints other faults")
        for one in printed["added"]:
            self._added(one)

    def _faults(self, epoch):
        """What there is against providers of an epoch, by the names that are printed."""
        found = set()
        for key, record in self.state.of(FAULT).items():
            if key[:8] == epoch.to_bytes(8, "big"):
                found |= {(key[8:], REASONS[reason.key], reason.value.hex()) for reason in record.reasons}
        return found

    def _added(self, printed):
        """Every holder that an add printed is the one that the chain has."""
        commits = {(one.action.object, one.action.extent): one.action for one in self.chain.commits}
        for slot in printed["slots"]:
            commit = commits[(names.object_id(printed["cid"]), slot["extent"])]
            on_chain = commit.slots[slot["index"]]
            given = (names.key("node", slot["provider"]), names.column(slot["column"]))
            require((on_chain.provider, on_chain.column) == given, "`add` printed another slot")

    def summary(self):
        state = self.state
        return {
            "blocks": self.chain.height, "rounds": sum(header.round for header in self.chain.headers),
            "handovers": len(self.export.handovers), "epochs": self.chain.clock.epoch,
            "beacons": len(self.chain.beacons), "records": sum(map(len, state.records.values())),
            "rosters": len(state.of(EPOCH)), "proven": self.proven, "absent": self.absent,
            "draws": len(self.export.draws), "pruned": self.hidden, "pulses": self.by_pulse,
            "commits": len(self.chain.commits), "proofs": sum(map(len, self.chain.audits.proven.values())),
            "columns": {"lost": self.chain.commitments.lost, "repaired": self.chain.commitments.repairs},
        }


def main(path, *options):
    export = Export(json.loads(Path(path).read_text()))
    try:
        checked = Checked(export)
    except Refused as error:
        print(json.dumps({"refused": str(error)}))
        return 1
    said = checked.summary()
    if options[:1] == ("--tamper",):
        said["tampered"] = tamper.all_refused(export, Checked, int(options[1]))
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
