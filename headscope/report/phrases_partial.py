"""Sentences on what a run holds beside verdicts and screening, in both languages: patches, lone effects, predictions.

They stand in the discussion of every run, and in the headline of one that gives no verdict and no screen.
"""

from __future__ import annotations

from headscope.report.evidence import Effect
from headscope.report.findings import WAY, ConceptFindings
from headscope.report.numbers import number
from headscope.report.phrases import Language, named

_DONE_EN = {"sufficiency": "bring it into controls", "necessity": "take it from its prompts"}
_DONE_JA = {"sufficiency": "対照文に概念をもたらす", "necessity": "概念文から概念を取り去る"}


def patching_en(found: ConceptFindings, words: Language) -> str:
    """How many heads or sets bring or take the concept, and the strongest of each."""
    parts: list[str] = []
    for direction, patches in found.patched.items():
        shown = _shown(patches, direction)
        what = "heads" if all("," not in one.heads for one in patches) else "heads or sets"
        text = f"{len(shown)} of {len(patches)} {what} patched are shown to {_DONE_EN[direction]}"
        strongest = (shown or patches)[0]
        label = "strongest" if shown else "largest, not shown"
        parts.append(f"{text} ({label}: {named(strongest.heads)}, {words.evidence(strongest)})")
    return f"{'; '.join(parts)}. Patching is exploratory, and measured against the control patch."


def patching_ja(found: ConceptFindings, words: Language) -> str:
    """See ``patching_en``."""
    parts: list[str] = []
    for direction, patches in found.patched.items():
        shown = _shown(patches, direction)
        what = "ヘッド" if all("," not in one.heads for one in patches) else "ヘッドまたは集合"
        text = f"パッチした {len(patches)} 個の{what}のうち、{_DONE_JA[direction]}と示されたのは {len(shown)} 個"
        strongest = (shown or patches)[0]
        label = "最大" if shown else "最大だが示されていない"
        parts.append(f"{text}（{label}：{named(strongest.heads)} の {words.evidence(strongest)}）")
    return f"{'、'.join(parts)}である。パッチングは探索的であり、対照パッチとの差で測る。"


def prediction_en(found: ConceptFindings) -> str:
    """What gradients predict, and of how many heads it was checked."""
    heads, value = found.predicted[0]
    return (
        f"gradients predict the effect of removing each of {len(found.predicted)} heads (largest: {named(heads)}, "
        f"{number(value)} nats); no test belongs to a prediction, and {len(found.alone)} of these heads were removed."
    )


def prediction_ja(found: ConceptFindings) -> str:
    """See ``prediction_en``."""
    heads, value = found.predicted[0]
    return (
        f"勾配は {len(found.predicted)} ヘッドそれぞれを除いた効果を予測する（最大：{named(heads)} の "
        f"{number(value)} nats）。予測に検定はなく、このうち実際に除いたのは {len(found.alone)} 個である。"
    )


def _shown(patches: list[Effect], direction: str) -> list[Effect]:
    """Patches shown to do what the direction asks, strongest first."""
    return [one for one in patches if one.direction == WAY[direction]]
