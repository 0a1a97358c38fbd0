"""Changes one byte of an export at a time, or leaves something out, and sees that each change is refused."""

import copy
import random
from itertools import chain

from borsh import Refused
from formats import decode, encode
from genesis import read as read_genesis

FIELDS = ("blocks", "handovers", "chunks", "records")


def _changed(data, chance):
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1:]


def _exports(export, count, chance):
    """Copies with one change each, and what was changed."""
    for _ in range(count):
        for field in FIELDS:
            parts = list(getattr(export, field))
            if parts:
                number = chance.randrange(len(parts))
                parts[number] = _changed(parts[number], chance)
                yield field, _with(export, **{field: parts})
        yield "snapshot", _with(export, snapshot=_changed(export.snapshot, chance))
        for field in ("seed", "answer"):
            number = chance.randrange(len(export.draws))
            draws = list(export.draws)
            draws[number] = _with(draws[number], **{field: _changed(getattr(draws[number], field), chance)})
            yield f"draws' {field}", _with(export, draws=draws)
        yield "genesis", _with(export, genesis=_changed(export.genesis.encode(), chance).decode(errors="replace"))


def _without(export):
    """Copies that lack something, and what."""
    for field in ("blocks", "handovers", "chunks"):
        yield f"without one of {field}", _with(export, **{field: getattr(export, field)[:-1]})
    blocks = list(export.blocks)
    decided = decode("decided", blocks[0])
    signatures = decided.certificate.signatures
    decided.certificate.signatures = signatures[:len(signatures) // 2]
    blocks[0] = encode("decided", decided)
    yield "without signatures", _with(export, blocks=blocks)
    draws = [_with(draw, drawn=draw.drawn[::-1]) for draw in export.draws]
    yield "in another order", _with(export, draws=draws)


def _with(value, **changes):
    value = copy.copy(value)
    vars(value).update(changes)
    return value


def _is_same_genesis(text, other):
    """Whether only what is no part of the chain's id is another."""
    try:
        return encode("genesis", read_genesis(text)[0]) == encode("genesis", read_genesis(other)[0])
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Refused):
        return False


def all_refused(export, check, count):
    """How many changes of each kind were refused: all, or this raises."""
    chance, refused = random.Random(1), {}
    for kind, changed in chain(_without(export), _exports(export, count, chance)):
        if kind == "genesis" and _is_same_genesis(export.genesis, changed.genesis):
            continue
        try:
            check(changed)
        except Refused:
            refused[kind] = refused.get(kind, 0) + 1
            continue
        raise AssertionError(f"a change of {kind} was not refused")
    return refused
