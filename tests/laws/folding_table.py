"""The table of docs/handing_over.md: which families can fold a bias, as their own configurations say.

``python -m tests.laws.folding_table`` writes it; a test holds the page to it.
"""

from __future__ import annotations

import re

from headscope.models.folding import room_for_bias
from tests.laws.families import FAMILIES, loaded
from tests.laws.family_table import ROOT

PAGE = ROOT / "docs" / "handing_over.md"
BEGIN, END = "<!-- folding: begin -->", "<!-- folding: end -->"
HAS_BIAS, NO_ROOM = "has a bias", "no"


def room(family: str) -> str:
    """Where a family's output projection takes a bias: it has one, by a setting of its configuration, or nowhere."""
    model = loaded(family)
    names = {module: name for name, module in model.hf.named_modules()}
    projections = [layer.projection for layer in model.anatomy.layers.values()]
    if all(getattr(projection, "bias", None) is not None for projection in projections):
        return HAS_BIAS
    setting, _ = room_for_bias(model.hf, [f"{names[projection]}.bias" for projection in projections])
    return NO_ROOM if setting is None else f"by `{setting}`"


def table() -> str:
    """Families that take a bias alike, in one line."""
    groups: dict[str, list[str]] = {HAS_BIAS: []}
    for family in FAMILIES:
        groups.setdefault(room(family), []).append(family)
    groups[NO_ROOM] = groups.pop(NO_ROOM)
    lines = ["| bias of the output projection | zero, scale | mean, replace, add | families |", "|---|---|---|---|"]
    for how, families in groups.items():
        lines.append(f"| {how} | yes | {'no' if how == NO_ROOM else 'yes'} | {', '.join(families)} |")
    return "\n".join(lines)


def in_page() -> str:
    """The table that stands in the page."""
    found = re.search(f"{BEGIN}\n(.*?)\n{END}", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{PAGE} has no place for the table"
    return found[1]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        re.sub(f"{BEGIN}\n.*?\n{END}", f"{BEGIN}\n{table()}\n{END}", text, flags=re.DOTALL), encoding="utf-8"
    )
