"""The head that writes the concept and the decoy that only looks at it can both be read: knowing is not doing."""

from __future__ import annotations

import headscope as hs
from headscope.worlds.catalog import worlds
from headscope.worlds.texts import make_profile


def test_the_writer_and_the_decoy_both_know() -> None:
    world = next(world for world in worlds() if world.name == "writer")
    table = hs.probe(world.load(), make_profile()).table
    heads = table["layer"].astype(str) + ":" + table["head"].astype(str)
    place = {planted.part: planted.heads for planted in world.planted}
    for concept in dict.fromkeys(table["concept"]):
        for part in (f"writer of {concept}", "decoy"):
            [row] = table[(table["concept"] == concept) & (heads == place[part])].to_dict("records")
            assert row["probe_auroc"] == 1.0, part
            assert row["p_max_t"] < 0.01, part
        told = heads[(table["concept"] == concept) & (table["p_max_t"] <= 0.05)]
        assert set(told) == {place[f"writer of {concept}"], place["decoy"]}
