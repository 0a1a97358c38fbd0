"""Computes draws from made-up rosters, and compares them with what another program made of them.

In comes a JSON file with a list of draws, each with the whole roster, its summary as an epoch records it, the part of the
roster that was shown for the draw, and the outcome, or none where it was refused. Out comes a line of JSON: how many are
the same.

    draws.py FILE
"""

import json
import sys
from pathlib import Path

import draw
from borsh import Refused, Value, require
from formats import decode, encode
from roster import classes, read_answer, tree_of


def check(one, counts):
    summary, seed = decode("summary", bytes.fromhex(one["summary"])), decode("seed", bytes.fromhex(one["seed"]))
    tree = read_answer(bytes.fromhex(one["roster"]), summary.roster)
    leaves = tree.leaves()
    require(encode("root", tree_of(leaves)) == encode("root", summary.roster), "the roster has another root")
    require([summary.providers, *summary.dimensions] == classes(leaves), "the roster has other classes")
    code = Value(**one["code"])
    try:
        caps = draw.caps(summary, code, one["min_domains"])
    except Refused:
        require(one["caps"] is None, "caps were found where there are none")
        counts["refused"] += 1
        return
    require(caps == one["caps"], "the caps are others")
    drawn = []
    for shown in (tree, read_answer(bytes.fromhex(one["shown"]), summary.roster)):
        counts["pruned"] += not shown.is_whole()
        try:
            drawn.append([leaf.provider.hex() for leaf in draw.draw(shown, seed, code.n, caps)])
        except Refused:
            drawn.append(None)
    require(drawn == [one["drawn"]] * 2, "others are drawn")
    counts["draws" if one["drawn"] else "refused"] += 1


def check_beside(one, counts):
    """A draw for a repair, beside providers of the same roster."""
    summary, seed = decode("summary", bytes.fromhex(one["summary"])), decode("seed", bytes.fromhex(one["seed"]))
    tree, beside = read_answer(bytes.fromhex(one["roster"]), summary.roster), one["beside"]
    names, code = [bytes.fromhex(name) for name in beside["holders"]], Value(**one["code"])
    holders = [leaf for leaf in tree.leaves() if leaf.provider in names]
    caps = draw.caps_beside(summary, code, one["min_domains"], [leaf.offer for leaf in holders])
    require(caps == beside["caps"], "the caps of a repair are others")
    may = lambda leaf: leaf.provider not in names
    drawn = draw.draw_beside(tree, seed, code.n, caps, beside["count"], holders, may)
    require([leaf.provider.hex() for leaf in drawn] == beside["drawn"], "others are drawn for a repair")
    counts["beside"] += 1


def main(path):
    counts = {"beside": 0, "draws": 0, "refused": 0, "exchanged": 0, "pruned": 0}
    exchange = draw.exchange

    def counted(*given):
        exchange(*given)
        counts["exchanged"] += 1

    draw.exchange = counted
    for one in json.loads(Path(path).read_text()):
        check(one, counts)
        check_beside(one, counts)
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
