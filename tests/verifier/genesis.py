"""The genesis: from its TOML to canonical bytes, and what the ledger is before the first block."""

import tomllib
from decimal import Decimal

import names
from blake3 import blake3
from borsh import Bytes, Enum, Integer, Opt, Sorted, Struct, Text, Value, Vec, require
from formats import FORMATS, encode

OBOL = 10**6
# What a key is of, by the name of its field.
KEYS = {"owner": "account", "operator": "account", "council": "account", "account": "account", "node": "node",
        "key": "vote key"}


def read(text):
    """The genesis, and the id of its chain."""
    file = tomllib.loads(text)
    file.setdefault("membership", {"rule": "permissionless"})
    file.pop("bootstrap", None)
    genesis = _value(FORMATS.table["genesis"], "genesis", file)
    return genesis, blake3(encode("genesis", genesis))


def _amount(text):
    micro = Decimal(text) * OBOL
    require(micro == int(micro), f"an amount has too many digits: {text}")
    return int(micro)


def _value(form, field, given):
    """What a file gives for a field, by the field's format."""
    form = getattr(form, "table", {}).get(getattr(form, "name", None), form)
    if isinstance(form, Enum):
        rule = given["rule"]
        return Value(kind=rule, **_fields(form.variants[form.numbers[rule]][1], given, {"rule"}))
    if isinstance(form, Struct):
        return Value(**_fields(form, given, set()))
    if isinstance(form, Opt):
        return None if given is None else _value(form.item, field, given)
    if isinstance(form, Integer):
        return _amount(given) if isinstance(given, str) else given
    if isinstance(form, Bytes):
        return names.key(KEYS[field], given) if form.size == 32 else bytes.fromhex(given)
    if isinstance(form, Sorted):
        return sorted(_value(form.item, field, item) for item in given)
    if isinstance(form, Vec) and not isinstance(form, Text):
        return [_value(form.item, field, item) for item in given]
    return given


def _fields(form, given, known):
    fields = dict(form.fields)
    unknown = set(given) - set(fields) - known
    require(not unknown, f"the genesis has unknown fields: {sorted(unknown)}")
    return {name: _value(item, name, given.get(name)) for name, item in fields.items()}


def powers(genesis):
    """The validator set of the first height."""
    whole = genesis.membership.kind == "permissionless"
    members = [Value(key=one.key, value=one.bond // OBOL if whole else 1) for one in genesis.validators]
    return sorted(members, key=lambda member: member.key)
