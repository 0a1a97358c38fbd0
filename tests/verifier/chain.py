"""The chain, block by block from genesis on: what each header says must follow from what came before it.

Followed are ids, parents, times, the roots of transactions and history, validator sets, certificates, turns, the clock
of epochs, who is excused, the beacon and the load. Transactions are checked as far as they say it themselves; the state that results is
compared in `state`. Parameters are those of the genesis: a chain that changed them is refused there.
"""

from collections import Counter

import bls
import signatures
from blake3 import blake3, derive
from borsh import Value, require
from formats import decode, encode
from genesis import powers
from audits import Audits
from commitments import Commitments
from roster import tag
from trees import History, proofs_root, transactions_root
from turns import Missed, proposers

FACTOR, HALF_FULL, LARGEST_FACTOR = 1 << 20, 458_752, 1 << 52
LONGEST_VALIDITY = 86_400
LARGE, EXCUSED_IN_A_ROW = 20, 3
UNKNOWN = ("mismatch", "inconsistent", "set_renewal")


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
        self.clock = Value(epoch=0, start_ms=genesis.time_ms, first=1, has_beacon=False, window=0, excused=0)
        self.epochs, self.audits = {0: epoch_record(0, genesis.time_ms, 1)}, Audits(genesis.params)
        self.commitments = Commitments(chain, genesis.params, self.audits)
        # Of each provider, its price and its infrastructure.
        self.offers = {one.node: self._offer(one) for one in genesis.providers}
        self.commitments.asks[0] = self._asks()
        self.pulses, self.fee_factor, self.fees = {}, FACTOR, 0
        self.headers, self.beacons = [], []
        # What transactions said: every commit, and names.
        self.next_nonce, self.commits, self.names = {}, [], {}

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
            self._prove(one.key, one.value, header.time_ms)
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
            self._begin_epoch(height, time_ms)
        elif clock.has_beacon and age >= time.epoch_ms // 2:
            clock.window += 1
        self.commitments.begin_block(self.clock.epoch)

    def _begin_epoch(self, height, time_ms):
        ended, epoch = self.epochs[self.clock.epoch], self.clock.epoch + 1
        excused = self.clock.excused
        is_excused = (~excused & excused + 1).bit_length() <= EXCUSED_IN_A_ROW and is_storm(ended.audit)
        self.clock = Value(epoch=epoch, start_ms=time_ms, first=height, has_beacon=False, window=0,
                           excused=(excused << 1 | is_excused) & (1 << 64) - 1)
        self.audits.turn(epoch, is_excused, ended.beacon)
        self.commitments.asks[epoch] = self._asks()
        record = self.epochs[epoch] = epoch_record(epoch, time_ms, height)
        stored, by_tag = self.audits.stored(epoch), Counter()
        for provider, size in stored.items():
            by_tag[self.offers[provider].tag] += size
        record.audit.frozen = sum(stored.values())
        large = sorted(((-size, tag) for tag, size in by_tag.items() if 20 * size > record.audit.frozen))[:LARGE]
        record.audit.large = [Value(tag=tag, frozen=-size, proven=0) for size, tag in large]

    def _prove(self, key, proof, time_ms):
        record = self.epochs[self.clock.epoch]
        proven = self.audits.prove(key, proof, record, time_ms)
        record.audit.providers += 1
        record.audit.proven += proven
        for large in record.audit.large:
            large.proven += proven * (large.tag == self.offers[key.provider].tag)

    def _offer(self, one):
        return Value(price=one.price, tag=tag("infrastructure", one.domain.infrastructure))

    def _asks(self):
        return {node: offer.price for node, offer in self.offers.items()}

    def burnt(self):
        """Fees, and a part of what providers paid for what they lost."""
        return self.fees + self.commitments.burnt

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
        self.fees += body.fee
        for action in actions if applied else ():
            self._action(action, body, blake3(data))
        return blake3(data)

    def _action(self, action, body, tx):
        account, epoch, commitments = body.account, self.clock.epoch, self.commitments
        require(action.kind not in UNKNOWN, f"this program does not follow {action.kind}")
        if action.kind == "commit":
            self.commits.append(Value(account=account, action=action, start=epoch))
            commitments.commit((action.object, action.extent, account), action, epoch)
        if action.kind == "extend":
            key = action.commitment
            commitments.extend((key.object, key.extent, key.owner), action.end, epoch)
        if action.kind == "release":
            commitments.release((action.object, action.extent, account), epoch)
        if action.kind == "repaired":
            commitments.repaired(action, epoch)
        if action.kind == "restore":
            commitments.restore(action, self.epochs[action.epoch].beacon, epoch)
        if action.kind == "report_loss":
            commitments.report_loss(action, tx, epoch)
        if action.kind == "drain":
            self.audits.draining.add(action.node)
        if action.kind == "maintain":
            self.audits.maintain(action.node, action.start, action.epochs, epoch)
        if action.kind == "register":
            self.offers[action.node] = self._offer(action)
        if action.kind == "join":
            self.beacon_keys[action.key] = action.beacon_key
        if action.kind == "set_name":
            self.names[(account, action.name)] = action.value and Value(value=action.value, version=body.nonce + 1)


def epoch_record(epoch, start_ms, first):
    audit = Value(frozen=0, providers=0, proven=0, large=[])
    return Value(epoch=epoch, start_ms=start_ms, first=first, beacon=None, space=Value(blocks=0, with_space=0), audit=audit)


def is_storm(audit):
    """Whether so much is missing in so many places that it is a fault of the network."""
    missing = audit.frozen - audit.proven
    of_large = [one.frozen - one.proven for one in audit.large]
    spread = missing - sum(max(0, one - audit.frozen // 20) for one in of_large)
    return audit.frozen > 0 and 5 * spread >= audit.frozen or 2 * missing > audit.frozen and missing not in of_large
