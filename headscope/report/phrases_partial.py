"""Parts of sentences in both languages: where a head looks and reads, what patches do, what gradients predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headscope.report.evidence import Effect
from headscope.report.findings import WAY, ConceptFindings
from headscope.report.numbers import interval, number
from headscope.report.phrases import Language, named
from headscope.stats.attending import NO, OPEN, UNKNOWN, YES
from headscope.stats.regions import places_read
from headscope.stats.verdicts import PLACES

_DONE_EN = {"sufficiency": "bring it into controls", "necessity": "take it from its prompts"}
_DONE_JA = {"sufficiency": "対照文に概念をもたらす", "necessity": "概念文から概念を取り去る"}

_OF_WHAT_EN = {"attention_without_sinks": "of the attention that is not on sinks", "attention": "of all attention"}
_OF_WHAT_JA = {"attention_without_sinks": "シンク以外の注意の", "attention": "すべての注意の"}
_ATTENDS_EN = {
    YES: "attends to the words",
    NO: "does not attend to the words",
    OPEN: "may or may not attend to the words",
}
_ATTENDS_JA = {YES: "概念の語に注意を向ける", NO: "概念の語に注意を向けない", OPEN: "概念の語に注意を向けるかは未決"}
PLACES_JA = {
    "span": "概念の語",
    "prompt": "プロンプトの残り",
    "punctuation": "文末の句読点",
    "readout": "リードアウト",
    "first_token": "最初のトークン",
    "query": "クエリ自身",
}


def sized_en(effect: Effect) -> str:
    """Δ of the attention that decides, with its simultaneous interval."""
    ends = interval(effect.sim_low, effect.sim_high)
    return f"{number(effect.estimate)} {_OF_WHAT_EN[effect.outcome]} (simultaneous 95 % CI {ends})"


def sized_ja(effect: Effect) -> str:
    """See ``sized_en``."""
    ends = interval(effect.sim_low, effect.sim_high)
    return f"{_OF_WHAT_JA[effect.outcome]} {number(effect.estimate)}（同時 95 % 信頼区間 {ends}）"


def looks_en(row: Mapping[str, Any]) -> str:
    """Whether a row of ``verdicts`` attends, with the size that says so; empty where that was not measured."""
    if row["attends"] == UNKNOWN:
        return ""
    ends = interval(row["attention_share_low"], row["attention_share_high"])
    size = (
        f"Δ {number(row['attention_share'])} {_OF_WHAT_EN[str(row['attention_measure'])]}, simultaneous 95 % CI {ends}"
    )
    return f"{_ATTENDS_EN[str(row['attends'])]}: {size}"


def looks_ja(row: Mapping[str, Any]) -> str:
    """See ``looks_en``."""
    if row["attends"] == UNKNOWN:
        return ""
    ends = interval(row["attention_share_low"], row["attention_share_high"])
    size = (
        f"Δ は{_OF_WHAT_JA[str(row['attention_measure'])]} {number(row['attention_share'])}、同時 95 % 信頼区間 {ends}"
    )
    return f"{_ATTENDS_JA[str(row['attends'])]}（{size}）"


def reads_en(shares: Mapping[str, float]) -> str:
    """Where a head reads at the readouts; empty where that was not measured."""
    most = places_read(shares)
    if not most:
        return ""
    words = f"reads mostly at {' and '.join(f'{PLACES[place]} ({number(share)})' for place, share in most)}"
    return words if "span" in dict(most) else f"{words}, {number(shares['span'])} at {PLACES['span']}"


def reads_ja(shares: Mapping[str, float]) -> str:
    """See ``reads_en``."""
    most = places_read(shares)
    if not most:
        return ""
    words = f"主に読む場所は{'と'.join(f'{PLACES_JA[place]}（{number(share)}）' for place, share in most)}"
    return words if "span" in dict(most) else f"{words}、{PLACES_JA['span']}では {number(shares['span'])}"


def patching_en(found: ConceptFindings, words: Language) -> str:
    """How many heads or sets bring or take the concept, and the strongest of each."""
    parts: list[str] = []
    for direction, patches in found.patched.items():
        shown = _shown(patches, direction)
        what = "heads" if all("," not in one.heads for one in patches) else "heads or sets"
        text = f"{len(shown)} of {len(patches)} {what} patched detectably {_DONE_EN[direction]}"
        strongest = (shown or patches)[0]
        label = "strongest" if shown else "largest, not detectable"
        parts.append(f"{text} ({label}: {named(strongest.heads)}, {words.evidence(strongest)})")
    return f"{'; '.join(parts)}. Patching is exploratory, and measured against the control patch."


def patching_ja(found: ConceptFindings, words: Language) -> str:
    """See ``patching_en``."""
    parts: list[str] = []
    for direction, patches in found.patched.items():
        shown = _shown(patches, direction)
        what = "ヘッド" if all("," not in one.heads for one in patches) else "ヘッドまたは集合"
        text = f"パッチした {len(patches)} 個の{what}のうち、{_DONE_JA[direction]}ことが検出可能なのは {len(shown)} 個"
        strongest = (shown or patches)[0]
        label = "最大" if shown else "最大だが検出されない"
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
    """Patches that detectably do what the direction asks, strongest first."""
    return [one for one in patches if one.direction == WAY[direction]]
