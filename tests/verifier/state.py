"""The state after a block, from a snapshot, and whether its records are what the chain and other records say."""

from collections import Counter

import trees
from blake3 import derive
from borsh import Value, require
from chain import set_hash
from commitments import GIB, LIVE, per_epoch
from formats import decode
from roster import DIMENSIONS, classes, tag, tree_of

# Tags of keys.
RUNNING, PARAMS, ACCOUNT, PROVIDER, VALIDATOR, OBJECT, COMMITMENT, EPOCH, NAME = range(9)
PROPOSAL, INFRASTRUCTURE, PULSE, GONE, DEPARTED, FAULT, SWEEP = 10, 11, 15, 16, 18, 21, 22
# Epochs for which a fault is kept.
KEPT = 64


def read_snapshot(chunks, root):
    """All records of a state, by their keys, from its chunks in order."""
    records, last = {}, None
    for number, data in enumerate(chunks):
        chunk = decode("chunk", data)
        require((chunk.left is None) == (number == 0), "only the first chunk has nothing to its left")
        leaves = [(trees.state_path(one.key), trees.state_leaf(one.key, one.value)) for one in chunk.records]
        require(leaves and all(a[0] < b[0] for a, b in zip(leaves, leaves[1:])), "the records are not in rising order")
        before = [last] if chunk.left else []
        found = trees.state_root_beside(before + leaves, chunk.left, chunk.right)
        require(found == root, "a chunk is not of this state")
        last = leaves[-1]
        records |= {one.key: one.value for one in chunk.records}
        complete = all(hash is None for hash in chunk.right.outside)
    require(records and complete, "chunks are missing at the end")
    require(trees.state_root(records) == root, "the records have another root")
    return records


def check_proven(one, root):
    """Checks that a record has a value, or is not there, by its proof."""
    path, proof = trees.state_path(one.key), one.proof
    require(not proof.siblings or proof.siblings[-1] is not None, "the last sibling of a proof is empty")
    if one.value is not None:
        require(proof.other is None, "another leaf is in the place of a record")
        node = trees.state_leaf(one.key, one.value)
    elif proof.other is None:
        node = trees.NOTHING
    else:
        other, depth = proof.other, len(proof.siblings)
        shared = all(trees.bit(other.key, place) == trees.bit(path, place) for place in range(depth))
        require(other.key != path and shared, "another leaf does not show that a record is not there")
        node = derive("ostrakon state leaf 1", other.key + other.value)
    for depth in reversed(range(len(proof.siblings))):
        sibling = proof.siblings[depth]
        require(sibling != trees.NOTHING, "an empty sibling is not none")
        pair = (node, sibling or trees.NOTHING)
        node = trees.state_node(*(reversed(pair) if trees.bit(path, depth) else pair))
    require(node == root, "a record is not proven")


class State:
    """The records of a snapshot, beside the chain up to its block."""

    def __init__(self, records, chain):
        self.chain, self.records = chain, {}
        for key, value in records.items():
            self.records.setdefault(key[0], {})[key[1:]] = decode("record", value)
        self.params = chain.params
        self.running = self.records[RUNNING][b""]

    def of(self, kind):
        return self.records.get(kind, {})

    def check(self):
        self._running()
        self._money()
        self._epochs()
        self._commitments()
        self._providers()
        self._faults()
        self._validators()
        self._names()
        self._owned()

    def _running(self):
        chain, running = self.chain, self.running
        require(self.of(PARAMS)[b""].params == self.params, "the parameters are not those of the genesis")
        history = Value(leaves=chain.history.leaves, peaks=chain.history.peaks)
        require(running.history == history, "the history is another")
        for name in ("time_ms", "clock", "mix", "turns_seed", "fee_factor"):
            require(getattr(running, name) == getattr(chain, name), f"{name} is another")

    def _money(self):
        genesis, running = self.chain.genesis, self.running
        provided = sum(one.bond for one in self.of(PROVIDER).values())
        bonded = provided + sum(one.bond for kind in (VALIDATOR, GONE) for one in self.of(kind).values())
        bonded += sum(one.deposit for kind in (NAME, PROPOSAL) for one in self.of(kind).values())
        balances = sum(one.balance for one in self.of(ACCOUNT).values())
        minted = sum(one.balance for one in genesis.accounts) + sum(one.bond for one in genesis.validators)
        minted += sum(self._first_bond(one) for one in genesis.providers)
        require(running.minted == minted, "another sum was minted")
        require(running.bonded == bonded, "another sum is bonded")
        require(running.burnt == self.chain.burnt(), "another sum is burnt")
        require(balances + bonded + running.escrowed + running.pool + running.burnt == minted, "money is missing, or too much")
        for key, account in self.of(ACCOUNT).items():
            nonce = self.chain.next_nonce.get(key, account.since << 20)
            require(account.nonce == nonce, "an account has another nonce")

    def _first_bond(self, provider):
        bonds = self.params.bonds
        if provider.bond is not None:
            return provider.bond
        return bonds.provider + self.chain.commitments.collateral(provider.capacity, provider.price)

    def _rate(self, price):
        return max(self.params.bonds.gib, price * self.params.bonds.pay_epochs)

    def _epochs(self):
        """Every record of an epoch, with the roster that follows from the providers' records."""
        for key, epoch in self.of(EPOCH).items():
            expected = self.chain.epochs[int.from_bytes(key, "big")]
            for name, value in vars(expected).items():
                require(getattr(epoch, name) == value, f"epoch {expected.epoch} has another {name}")
            leaves = self.roster(epoch.epoch)
            tree = tree_of(leaves)
            require(epoch.roster == Value(hash=tree.hash, weight=tree.weight), "an epoch has another roster")
            require([epoch.providers, *epoch.dimensions] == classes(leaves), "an epoch has other classes")
        for key, record in self.of(PULSE).items():
            require(record.pulse == self.chain.pulses.get(int.from_bytes(key, "big")), "a pulse is another")
        require(max(self.of(EPOCH)) == self.chain.clock.epoch.to_bytes(8, "big"), "the newest epoch has no record")

    def roster(self, epoch):
        leaves = []
        for node, provider in sorted(self.of(PROVIDER).items()):
            past = [one.offer for one in provider.past if one.until >= epoch]
            offer = past[0] if past else provider.offer
            if offer is not None:
                leaves.append(Value(provider=node, offer=offer))
        return leaves

    def _commitments(self):
        """Each is what a transaction of a block committed, and none is missing."""
        self.used, self.behind, self.stored, self.rates, self.owed = Counter(), Counter(), Counter(), Counter(), 0
        number = int.from_bytes
        found = {(key[:32], number(key[32:36], "big"), key[36:]): one for key, one in self.of(COMMITMENT).items()}
        require(found.keys() == self.chain.commitments.lasting.keys(), "other commitments last")
        for place, record in found.items():
            require(tuple(vars(record.key).values()) == place, "a commitment has another key")
            self._commitment(record, self.chain.commitments.lasting[place])
        escrowed = sum(record.escrow for record in found.values())
        escrowed += sum(record.fund for record in found.values())
        require(self.running.escrowed == escrowed - self.owed, "another sum is in escrow")
        require(self.running.stored == sum(self.used.values()), "another number of bytes is stored")
        used = {key: record.used for key, record in self.of(INFRASTRUCTURE).items()}
        require(all(record.tag == key for key, record in self.of(INFRASTRUCTURE).items()), "a tag is another")
        self._departed()
        self._sweep()
        require(used == dict(self.stored), "an infrastructure stores another number of bytes")
        self._objects(found)

    def _commitment(self, record, expected):
        for name in ("size", "extents", "code", "column_len", "start", "end", "until", "escrow", "fund", "ticket"):
            require(getattr(record, name) == getattr(expected, name), f"a commitment has another {name}")
        for slot, of_chain in zip(record.slots, expected.slots, strict=True):
            for name in ("provider", "column", "since", "ask", "cap", "collateral", "state"):
                require(getattr(slot, name) == getattr(of_chain, name), f"a slot has another {name}")
            self.behind[slot.provider] += slot.collateral
            if slot.state == LIVE:
                require(slot.base == of_chain.base, "a slot is settled up to another epoch")
                self.used[slot.provider] += record.column_len
                self.stored[self.chain.offers[slot.provider].tag] += record.column_len
                self.rates[slot.provider] += per_epoch(record.column_len, slot.ask)
                self.owed += self.chain.commitments.owes(expected, of_chain)

    def _departed(self):
        """Slots that left in the epoch in progress, which may still be asked for."""
        found = {}
        for key, record in self.of(DEPARTED).items():
            require(int.from_bytes(key[:8], "big") == self.chain.clock.epoch, "slots of an epoch that is over are kept")
            place = (key[8:40], int.from_bytes(key[40:44], "big"), key[44:])
            found[place] = sorted((one.index, one.provider, one.column, one.column_len, one.since) for one in record.slots)
        require(found == self.chain.audits.departed(self.chain.clock.epoch), "other slots have left")

    def _sweep(self):
        """From which ticket on commitments are looked at for what was written off."""
        found = [(one.spare, tuple(vars(one.key).values())) for one in self.of(SWEEP).values()]
        require(found == [one for one in [self.chain.commitments.sweep] if one], "the sweep is at another ticket")

    def _objects(self, commitments):
        """The owners that are listed with each object."""
        expected = {}
        for (object, _, owner), record in commitments.items():
            owners = expected.setdefault(object, {})
            of_owner = owners.setdefault(owner, Value(extents=0, end=0))
            of_owner.extents, of_owner.end = of_owner.extents + 1, max(of_owner.end, record.end)
        found = {key: {one.key: one.value for one in record.owners} for key, record in self.of(OBJECT).items()}
        require(found == expected, "an object has other owners")

    def _names(self):
        expected = {owner + name: one for (owner, name), one in self.chain.names.items() if one}
        found = {key: Value(value=one.value, version=one.version) for key, one in self.of(NAME).items()}
        require(found == expected, "the names are others")

    def _owned(self):
        """How much each account owns."""
        owned = Counter(key[36:] for key in self.of(COMMITMENT))
        owned.update(one.owner for kind in (PROVIDER, VALIDATOR, GONE) for one in self.of(kind).values())
        owned.update(key[:32] for key in self.of(NAME))
        owned.update(one.proposer for one in self.of(PROPOSAL).values())
        require(all(one.owns == owned[key] for key, one in self.of(ACCOUNT).items()), "an account owns another number")

    def _providers(self):
        bonds, audits = self.params.bonds, self.chain.audits
        for node, provider in self.of(PROVIDER).items():
            require(provider.used == self.used[node], "a provider stores another number of bytes")
            require(provider.collateral == self.behind[node], "a provider has another collateral")
            proven = audits.proven.get(node, [])
            require((provider.proven_epochs, provider.last_proof) == (len(proven), max(proven, default=0)),
                    "a provider proved other epochs")
            require(provider.rate == self.rates[node], "a provider is paid at another rate")
            silence = (audits.missed.get(node, 0), audits.silent_since.get(node), node in audits.written_off)
            require((provider.missed, provider.silent_since, provider.written_off) == silence,
                    "a provider was silent at another time")
            away = audits.maintenance.get(node)
            planned = away and Value(start=away.start, end=away.stop)
            require(provider.maintenance == planned, "a provider announced another maintenance")
            free, rate = provider.capacity - provider.used, self._rate(provider.price)
            if rate:
                free = min(free, (provider.bond - bonds.provider - provider.collateral) * GIB // rate)
            if self.params.audits.ramp_epochs:
                free = min(free, self.params.audits.starter_bytes + 2 * provider.proven_bytes - provider.used)
            offer = None
            if provider.status.kind == "active" and free > 0:
                tags = {name: tag(name, getattr(provider.domain, name)) for name in DIMENSIONS}
                offer = Value(weight=free, price=provider.price, **tags)
            require(provider.offer == offer, "a provider has another offer")

    def _faults(self):
        """Who did not prove an epoch or lost something, why, and what shows it."""
        oldest = self.chain.clock.epoch - KEPT
        expected = {epoch.to_bytes(8, "big") + node: (one.unproven, one.reasons)
                    for (epoch, node), one in self.chain.audits.faults.items() if epoch >= oldest}
        found = {key: (one.unproven, {reason.key: reason.value for reason in one.reasons})
                 for key, one in self.of(FAULT).items()}
        require(found == expected, "other faults are recorded")

    def _validators(self):
        chain, members = self.chain, []
        for key, validator in sorted(self.of(VALIDATOR).items()):
            members.append(Value(key=key, value=validator.power))
            turns = (chain.missed.count.get(key, 0), chain.missed.until.get(key, 0))
            require((validator.missed, validator.skipped_until) == turns, "a validator missed other turns")
        require(set_hash(members) == set_hash(chain.members), "others decide the next block")
