"""The chain, block by block from genesis on: what each header says must follow from what came before it.

Followed are ids, parents, times, the roots of transactions and history, validator sets, certificates, turns, the clock
of epochs, the beacon and the load. Transactions are checked as far as they say it themselves; the state that results is
compared in `state`. Parameters are those of the genesis: a chain that changed them is refused there.
"""

import bls
import signatures
from blake3 import blake3, derive
from borsh import Value, require
from formats import decode, encode
from genesis import powers
from audits import Audits
from trees import History, proofs_root, transactions_root
from turns import Missed, proposers

FACTOR, HALF_FULL, LARGEST_FACTOR = 1 << 20, 458_752, 1 << 52
LONGEST_VALIDITY = 86_400


def set_hash(members):
    return derive("ostrakon validator set 1", encode("validator_set", members))


def number(value):
    return value.to_bytes(8, "little")


def actions_of(tx):
    """The action of a transaction, or all parts of it."""
    action = tx.body.action
    return action.parts if action.kind == "together" else [action]


class Chain:
    def __init__(self, genesis, chain, handovers):
        self.genesis, self.id, self.params = genesis, chain, genesis.params
        self.height, self.block, self.time_ms = 0, chain, genesis.time_ms
        self.handovers = {one.header.height: one for one in (decode("handover", data) for data in handovers)}
        self.members = powers(genesis)
        self.history, self.missed = History(), Missed()
        self.beacon_keys = {validator.key: validator.beacon_key for validator in genesis.validators}
        self.mix = derive("ostrakon beacon mix 1", chain)
        self.turns_seed = self.mix
        self.clock = Value(epoch=0, start_ms=genesis.time_ms, first=1, has_beacon=False, window=0)
        self.epochs, self.audits = {0: epoch_record(0, genesis.time_ms, 1)}, Audits(genesis.params)
        self.pulses, self.fee_factor, self.burnt = {}, FACTOR, 0
        self.headers, self.beacons = [], []
        # What transactions said: of every commit, of those that last, and of names.
        self.next_nonce, self.commits, self.lasting, self.names = {}, [], {}, {}

    def certified(self, header, certificate, members):
        """Checks that members with more than two thirds of the power signed for a header."""
        block = blake3(encode("header", header))
        require(certificate.block == block and certificate.height == header.height, "a certificate is of another block")
        power = {member.key: member.value for member in members}
        vote = Value(kind=1, height=certificate.height, round=certificate.round, block=block)
        signed = 0
        for one in certificate.signatures:
            require(one.key in power, "one that signed is not a validator")
            signatures.check("vote", self.id, "vote", vote, one.key, one.value)
            signed += power[one.key]
        require(3 * signed > 2 * sum(power.values()), "too few validators signed")
        return block

    def append(self, data):
        decided = decode("decided", data)
        header, height = decided.header, self.height + 1
        require(header.height == height and header.parent == self.block, f"a block does not follow block {self.height}")
        require(header.time_ms > self.time_ms, "a block is not later than its parent")
        self.history.append(self.block)
        require(header.history == self.history.root(), "a header has another history")
        require(header.validators == set_hash(self.members), "a header has another validator set")
        block = self.certified(header, decided.certificate, self.members)
        self._turn(header)
        self._tick(height, header.time_ms)
        entries = [encode("proof_entry", one) for one in decided.proofs]
        require(header.proofs == proofs_root(entries), "a header has other proofs")
        for one in decided.proofs:
            self.audits.prove(one.key, one.value, self.epochs[self.clock.epoch], header.time_ms)
        ids = [self._transaction(tx, height) for tx in decided.txs]
        require(header.txs == transactions_root(ids), "a header has other transactions")
        failed = [self._transaction(tx, height, applied=False) for tx in decided.charged]
        require(header.charged == transactions_root(failed), "a header has other charged transactions")
        self._load(sum(len(encode("tx", tx)) for tx in decided.txs + decided.charged))
        self._beacon(header)
        self.height, self.block, self.time_ms = height, block, header.time_ms
        self.headers.append(header)
        self._next_set(header)

    def _turn(self, header):
        members = [(member.key, member.value) for member in self.members]
        turns = proposers(members, self.missed.skipped(header.height), self.turns_seed, header.height)
        require(header.proposer == turns[header.round % len(turns)], "a block was proposed out of turn")
        self.missed.decided(turns, header.height, header.round)

    def _next_set(self, header):
        if header.next_validators == header.validators:
            return
        handover = self.handovers.pop(header.height, None)
        require(handover and handover.header == header, f"the handover of block {header.height} is missing")
        self.certified(header, handover.certificate, self.members)
        require(header.next_validators == set_hash(handover.set), "a handover has another set than its header names")
        self.members = handover.set
        self.missed.keep({member.key for member in self.members})

    def _tick(self, height, time_ms):
        clock, time = self.clock, self.params.time
        age = time_ms - clock.start_ms
        if age >= time.epoch_ms and clock.window >= time.window_blocks:
            self.clock = Value(epoch=clock.epoch + 1, start_ms=time_ms, first=height, has_beacon=False, window=0)
            self.audits.turn(clock.epoch + 1)
            self.epochs[clock.epoch + 1] = epoch_record(clock.epoch + 1, time_ms, height)
            self.epochs[clock.epoch + 1].audit.frozen = self.audits.stored(clock.epoch + 1)
        elif clock.has_beacon and age >= time.epoch_ms // 2:
            clock.window += 1
        for key in [key for key, commit in self.lasting.items() if commit.end <= self.clock.epoch]:
            self.audits.end(key, self.clock.epoch)
            del self.lasting[key]

    def _beacon(self, header):
        message = self.id + number(header.height) + self.mix
        self.beacons.append((self.beacon_keys[header.proposer], message, header.beacon))
        self.mix = derive("ostrakon beacon mix 1", self.mix + header.beacon)
        clock, blocks = self.clock, self.params.time.beacon_blocks
        if clock.has_beacon:
            space = self.epochs[clock.epoch].space
            space.blocks, space.with_space = space.blocks + 1, space.with_space + 1
        if header.height == clock.first + blocks - 1:
            beacon = derive("ostrakon epoch beacon 3", self.id + number(clock.epoch) + self.mix)
            self.epochs[clock.epoch].beacon = self.turns_seed = beacon
            clock.has_beacon = True
        if header.height % blocks == 0:
            pulse = header.height // blocks - 1
            self.pulses[pulse] = derive("ostrakon pulse 1", self.id + number(pulse) + self.mix)

    def finish(self):
        """Checks what is checked of all blocks together."""
        require(not self.handovers, "there is a handover where the validators stay")
        bls.verify_all(self.beacons)

    def _load(self, size):
        factor = self.fee_factor
        change = factor * min(abs(size - HALF_FULL), HALF_FULL) // HALF_FULL // 8
        if size > HALF_FULL:
            self.fee_factor = min(factor + max(1, change), LARGEST_FACTOR)
        else:
            self.fee_factor = max(factor - change, FACTOR)

    def _transaction(self, tx, height, applied=True):
        data, body = encode("tx", tx), tx.body
        signatures.check("tx", self.id, "body", body, body.account, tx.signature)
        nonce = self.next_nonce.get(body.account, body.nonce)
        require(body.nonce == nonce, "a transaction has the wrong nonce")
        self.next_nonce[body.account] = nonce + 1
        require(height <= body.valid_until <= height + LONGEST_VALIDITY, "a transaction came too late, or too early")
        actions = actions_of(tx)
        fee = self.params.fees.base * len(actions) + self.params.fees.byte * len(data)
        factor = FACTOR if body.action.kind == "evidence" else self.fee_factor
        require(body.fee >= -(-(fee * factor) // FACTOR), "a transaction has too low a fee")
        self.burnt += body.fee
        for action in actions if applied else ():
            self._action(action, body)
        return blake3(data)

    def _action(self, action, body):
        account = body.account
        if action.kind == "commit":
            commit = Value(account=account, action=action, start=self.clock.epoch, end=action.end,
                           terms=[Value(kind="commit", end=action.end, counts=self.audits.counts())])
            self.commits.append(commit)
            self.lasting[(action.object, action.extent, account)] = commit
            self.audits.begin((action.object, action.extent, account), action, self.clock.epoch)
        if action.kind in ("extend", "release"):
            commit = self.lasting[(action.object, action.extent, account)]
            last = self.clock.epoch + 1
            commit.end = action.end if action.kind == "extend" else min(commit.end, last)
            # With each, what is owed is settled.
            commit.terms.append(Value(kind=action.kind, end=commit.end, counts=self.audits.counts()))
        if action.kind == "join":
            self.beacon_keys[action.key] = action.beacon_key
        if action.kind == "set_name":
            self.names[(account, action.name)] = action.value and Value(value=action.value, version=body.nonce + 1)


def epoch_record(epoch, start_ms, first):
    audit = Value(frozen=0, providers=0, proven=0)
    return Value(epoch=epoch, start_ms=start_ms, first=first, beacon=None, space=Value(blocks=0, with_space=0), audit=audit)
