"""The sentences of the Japanese report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isnan
from typing import Any

from headscope.plots.selecting import PRIMARY_OUTCOME
from headscope.report.escaping import plain
from headscope.report.evidence import Effect
from headscope.report.findings import CARRIERS, ELSEWHERE, OWN_CARRIERS, ConceptFindings, SetFindings
from headscope.report.numbers import MISSING, as_float, count, equation, interval, number, share
from headscope.report.phrases import NAMED, figure_kind, named
from headscope.report.phrases_partial import looks_ja, patching_ja, prediction_ja, reads_ja, sized_ja
from headscope.stats.attending import NO, OPEN, YES
from headscope.stats.verdicts import CARRIER_UNTESTED, ELSEWHERE_UNTESTED, READING_UNDECIDED, SHARED_CARRIER

_UNITS = {
    "attention_share": "注意の割合",
    "attention_share_per_token": "スパンの 1 トークンあたりの注意の割合",
    "residual_norm": "残差ストリームのノルム",
    "nats": " nats",
    "nats_per_token": " nats/トークン",
    "keywords_per_text": " 語/テキスト",
    "keywords_per_prompt_and_text": " 語/（プロンプト＋テキスト）",
    "sentiment_-1_to_1": "−1 から 1 の尺度",
    "share_of_word_pairs": "単語対の割合",
    "ratio": " 倍",
}
_EDITS = {
    "mean": "平均置換（mean）",
    "zero": "ゼロ置換（zero）",
    "zero_keep_bias": "ゼロ置換（値バイアスは保持）",
    "position_mean": "位置別平均置換",
    "resample": "リサンプル置換",
    "bos": "BOS のみに注意",
}
_P = {"p_max_t": "族単位 p", "q": "q", "p": "p"}
_VERDICTS = {
    "carrier": "担い手",
    "carrier (specificity not tested)": "担い手（特異性は未検定）",
    "shared carrier": "複数概念の担い手",
    "carrier, reading elsewhere": "担い手（別の場所を読む）",
    "carrier, reading elsewhere (specificity not tested)": "担い手（別の場所を読む、特異性は未検定）",
    "causal, not specific": "因果的（特異的でない）",
    "suppressor": "抑制ヘッド",
    "redundant": "冗長",
    "causal (set)": "因果的（集合）",
    "general damage": "全般的な損傷",
    "attends only": "注意のみ",
    "no effect": "効果なし",
    "undecided": "未決",
    "undecided (edit-dependent)": "未決（編集方法に依存）",
    "undecided (where it reads)": "未決（読む場所が未決）",
    "undecided (damage not bounded)": "未決（損傷を排除できない）",
    "no verdict": "判定なし",
}
_COUNTED = (
    ("attends only", "注意を向けるだけで意味のある効果のないヘッド"),
    ("undecided (where it reads)", "因果的かつ特異的だが、概念の語に注意を向けるかが未決のヘッド"),
    ("causal, not specific", "ほかの概念にも同程度に効くヘッド"),
    ("suppressor", "概念を抑えるヘッド"),
    ("general damage", "対照文まで損なうヘッド"),
    ("undecided (damage not bounded)", "概念を変えるが、対照文の損傷を確認も排除もできないヘッド"),
)
_FILES = {
    "manifest.json": "実行条件、バージョン、フィンガープリント、所要時間、警告",
    "arrays.safetensors": "測定値のすべて（軸名つき）",
    "head_scores.json": "Phase 6 形式のスクリーニング結果",
    "coverage.csv": "比較できたプロンプトとその方法",
    "screen.csv": "スクリーニング：全ヘッド・全概念・全指標・全対照",
    "attention_by_region.csv": "各ヘッドがリードアウトで読む場所：文の領域ごとの注意の割合",
    "assay.csv": "編集なしのモデルが各概念を示すか",
    "effects.csv": "編集の効果、信頼区間、検定",
    "ranking.csv": "概念別および全体の上位ヘッド",
    "layers.csv": "層ごとのスクリーニングと効果",
    "verdicts.csv": "各概念に対する各ヘッドの判定",
    "texts.csv": "両条件の生成文",
    "scores.csv": "全ヘッドの高速スコア（測定した場合は正確な効果も）",
    "components.csv": "ロジット差を成分ごとに分けた内訳",
    "agreement.csv": "高速スコアと正確な効果との一致度",
    "patching.csv": "概念文と対照文の間のパッチング（両方向）",
    "dissociation.csv": "各概念を自概念のヘッドと他概念のヘッドを通してパッチした結果",
    "nulls.csv": "ヘッド集合と、互いに素なランダム集合との比較",
    "areas.csv": "累積曲線の面積",
    "smallest.csv": "概念の一定割合を取り除く最小の集合",
    "orders.csv": "テンプレートの各半分によるヘッドの順序",
    "reliability.csv": "ほかのテンプレートでも同じ順位になるか",
    "stability.csv": "テンプレートを 1 つ除いたときの答え",
}
_FIGURES = {
    "head_reaction_heatmap": "全ヘッドの Δ 注意（灰色：検出不可、q ≥ 0.05）",
    "value_weighted_heatmap": "全ヘッドの値重みつき Δ 注意（灰色：検出不可、q ≥ 0.05）",
    "top_heads": "Δ 注意の大きいヘッドと 95 % 信頼区間",
    "effect_heatmap": "ヘッドを単独で除いたときの効果（灰色：検出不可、族単位 p ≥ 0.05）",
    "patch_heatmap": "ヘッドを 1 つずつパッチした効果（両方向、対照パッチとの差、灰色：検出不可、族単位 p ≥ 0.05）",
    "forest": "単独ヘッドの大きな効果（太線：95 % 信頼区間、細線：同時信頼区間）",
    "ablation_comparison": "ベースラインと両編集の比較（棒：平均、線：対応のある差の 95 % 信頼区間）",
    "curves": "順位の上から k 個のヘッドを除いたときの効果とランダム集合",
    "fast_vs_exact": "勾配による予測と、ヘッドを除いた実際の効果",
    "screening_vs_effect": "注意と効果の対比（1 点が 1 ヘッド・1 概念）",
}
_OPTIONS = {
    "max_tokens": "新規トークン数の上限",
    "temperature": "温度",
    "top_p": "top-p",
    "samples": "プロンプト・条件あたりのテキスト数",
    "greedy": "貪欲デコード",
    "stop_at_eos": "EOS での打ち切り",
    "keyword_counting": "キーワードの数え方",
    "scope": "編集の適用範囲",
    "sentiment": "感情スコアラー",
}


class Japanese:
    """See ``phrases.Language``."""

    code = "ja"

    def outcome(self, name: str) -> str:
        """An outcome's name, for a table."""
        base, _, other = name.partition(":")
        known = {
            PRIMARY_OUTCOME: "語彙の対数オッズ",
            "specificity_nats": "自概念の変化 − 他概念の変化",
            "kl_nats_per_token": "対照文での KL ダイバージェンス",
            "perplexity_ratio": "対照文でのパープレキシティ比",
            "distinct_2": "異なる単語対の割合（distinct-2）",
        }
        if base in known:
            return known[base] + (f"（{plain(other)}）" if other else "")
        for prefix, words in (
            ("keyword_count_phase6_", "キーワード（Phase 6 の数え方）："),
            ("keyword_count_", "キーワード："),
            ("sentiment_", "感情スコア："),
        ):
            if base.startswith(prefix):
                return words + plain(base.removeprefix(prefix))
        return plain(name)

    def unit(self, name: str) -> str:
        """A unit's name; with a leading space where it follows its number, without where it explains it in brackets."""
        return _UNITS.get(name, f" {plain(name)}" if name else "")

    def edit(self, name: str) -> str:
        """An edit's name."""
        return _EDITS.get(name, plain(name))

    def verdict(self, name: str) -> str:
        """A verdict's name."""
        return _VERDICTS.get(name, plain(name))

    def attends(self, answer: str) -> str:
        """Whether a head attends to the concept's words, for a table."""
        return {YES: "はい", NO: "いいえ", OPEN: "未決"}.get(answer, MISSING)

    def reads(self, shares: Mapping[str, float]) -> str:
        """Where a head reads, from its shares of attention by region; empty where that was not measured."""
        return reads_ja(shares).removeprefix("主に読む場所は")

    def missing(self, effect: Effect) -> str:
        """Why an effect has no p, as a clause."""
        return {
            "too_few_templates": f"検定なし：テンプレート {effect.n_templates} 個は、検定に必要な 6 個に満たない",
            "no_test_of_divergence": "検定なし：ダイバージェンスは 0 を下回らない",
            "not_measured": "未測定",
            None: "",
        }[effect.missing]

    def evidence(self, effect: Effect) -> str:
        """Size, unit, interval and the deciding p of an effect."""
        unit = self.unit(effect.unit)
        parts = [] if unit.startswith(" ") or not unit else [unit]
        ends = interval(effect.low, effect.high)
        parts.append(f"95 % 信頼区間 {ends}" if not isnan(effect.low) else "信頼区間なし")
        kind, p_value = effect.strictest_p
        parts.append(self.missing(effect) or equation(_P[kind], p_value))
        return f"{number(effect.estimate)}{unit if unit.startswith(' ') else ''}（{'、'.join(parts)}）"

    def headline(self, found: ConceptFindings) -> str:
        """The result on one concept in one or two sentences."""
        name = f"**{plain(found.concept)}**"
        if found.assay_shown is False and found.assay is not None:
            return (
                f"{name}：編集なしのモデルは、この概念のプロンプトと対照文を区別していない"
                f"（差 {self.evidence(found.assay)}）。したがって、どのヘッドについても結論は出せない。"
            )
        parts = [self._carried(found, name)] if found.has_verdicts else []
        top_sets = [one for one in found.sets if one.role == "joint_top"]
        chosen = "（テンプレートの半分で選び、残りの半分で測定）" if len(top_sets) > 1 else "（どちらの半分も同じ選択）"
        parts += [self._together(one, name if not parts else "", chosen) + self._among(one) for one in top_sets]
        if not parts and found.sets:
            parts += [self._together(one, name) for one in found.sets]
        if not parts and found.looked:
            parts.append(
                f"{name}：{self._looking(found)}それらのヘッドを除くと何が変わるかは、この実行では測定していない。"
            )
        if not parts:
            parts = [f"{name}：{text}" for text in self._without_verdicts(found)]
        return "".join(parts) or f"{name}：何も測定されていない。"

    def _without_verdicts(self, found: ConceptFindings) -> list[str]:
        """What a run says that neither judges nor screens heads."""
        texts = [self._alone(found)] if found.alone else []
        texts += [prediction_ja(found)] if found.predicted else []
        texts += [patching_ja(found, self)] if found.patched else []
        return ["".join(texts)] if texts else []

    def _carried(self, found: ConceptFindings, name: str) -> str:
        own, elsewhere, shared = (found.judged(*these) for these in (OWN_CARRIERS, ELSEWHERE, (SHARED_CARRIER,)))
        n_judged = sum("," not in str(row["heads"]) for row in found.verdicts)
        text = f"{name}："
        if own:
            text += f"{n_judged} ヘッドのうち {len(own)} 個がこの概念を担う — "
            text += f"{_listed([self._verdict_words(row, found) for row in own])}。"
        if elsewhere:
            text += f"{n_judged} ヘッドのうち {len(elsewhere)} 個がこの概念を担い、その語とは別の場所を読む — "
            text += f"{_listed([self._verdict_words(row, found) for row in elsewhere])}。"
        if shared:
            text += f"{n_judged} ヘッドのうち {len(shared)} 個がこの概念とほかの概念の両方を担う（共有の担い手） — "
            text += f"{_listed([self._verdict_words(row, found) for row in shared])}。"
        if shared and not (own or elsewhere):
            text += "この概念だけを担うと示されたものはない。"
        if not (own or elsewhere or shared):
            text += f"{n_judged} ヘッドのうち、単独でこの概念を担うと示されたものはない{self._blind_below(found)}。"
        others = [(len(found.judged(verdict)), words) for verdict, words in _COUNTED]
        counted = [f"{words}が {n} 個" for n, words in others if n]
        if counted:
            text += f"残りのうち、{'、'.join(counted)}ある（同時 95 % 信頼区間による）。"
        return text + self._undecided(found)

    def _undecided(self, found: ConceptFindings) -> str:
        open_rows = found.judged("undecided", "undecided (edit-dependent)")
        if not open_rows:
            return ""
        needed = [as_float(row["templates_needed"]) for row in open_rows]
        needed = [value for value in needed if isfinite(value)]
        text = f"{len(open_rows)} 個は未決である"
        if needed:
            span = count(min(needed)) if min(needed) == max(needed) else f"{count(min(needed))}〜{count(max(needed))}"
            text += f"（決着にはテンプレートがおよそ {span} 個必要）"
        return text + "。"

    def _verdict_words(self, row: Mapping[str, Any], found: ConceptFindings) -> str:
        parts = ["特異性は未検定"] if row["verdict"] in (CARRIER_UNTESTED, ELSEWHERE_UNTESTED) else []
        parts.append(f"{number(row['estimate'])} nats、同時 95 % 信頼区間 {interval(row['sim_low'], row['sim_high'])}")
        if isfinite(as_float(row["specificity"])):
            ends = interval(row["specificity_low"], row["specificity_high"])
            parts.append(f"ほかのどの概念の低下よりも {number(row['specificity'])} {ends} 大きい")
        if isfinite(as_float(row["perplexity_ratio_high"])):
            ends = interval(row["perplexity_ratio_low"], row["perplexity_ratio_high"])
            parts.append(f"対照文のパープレキシティ比 {ends}")
        looks, reads = looks_ja(row), reads_ja(found.reads.get(str(row["heads"]), {}))
        return f"{named(str(row['heads']))}（{'、'.join([*parts, *filter(None, (looks, reads))])}）"

    def _blind_below(self, found: ConceptFindings) -> str:
        detectable = [one.mde for one in found.silent if isfinite(one.mde)]
        if not detectable:
            return ""
        return f"（{number(max(detectable))} nats より小さい効果は見逃している可能性がある）"

    def _together(self, one: SetFindings, name: str, chosen: str = "") -> str:
        effect = one.primary
        start = f"{name}：" if name else ""
        if effect is None:
            return ""
        who = f"{named(one.heads)}{chosen}を{'同時に' if one.n_heads > 1 else ''}"
        way, limit = effect.beyond(one.threshold_nats), number(one.threshold_nats)
        done = {
            -1: f"除くと、対数オッズは {limit} nats を超えて下がる"
            if way
            else "除いたときの対数オッズの低下は検出可能である",
            1: f"除くと、対数オッズは {limit} nats を超えて上がる"
            if way
            else "除いたときの対数オッズの上昇は検出可能である",
            0: "除いたときの対数オッズの変化は検出されない",
        }
        text = f"{start}{who}{done[way or effect.direction]}：{self.evidence(effect)}"
        return text + (f"。{self._power(effect)}" if effect.direction == 0 else "") + "。"

    def _power(self, effect: Effect) -> str:
        if isnan(effect.mde) and isnan(effect.templates_needed):
            return "検出力は不明である"
        parts: list[str] = []
        if isfinite(effect.mde):
            parts.append(
                f"テンプレート {effect.n_templates} 個では、{number(effect.mde)} 未満の効果は見逃す可能性がある"
            )
        if isfinite(effect.templates_needed):
            parts.append(
                f"観測された大きさの効果を示すには、テンプレートがおよそ {count(effect.templates_needed)} 個"
                f"（プロンプト {count(effect.prompts_needed)} 本）必要である"
            )
        return "。".join(parts) or "この大きさの効果は、テンプレートをいくら増やしても示せない"

    def _looking(self, found: ConceptFindings) -> str:
        n_heads, limit = len(found.decisive), number(found.threshold_share)
        strongest = found.decisive[0]
        if not any(found.answers.values()):
            return (
                f"{n_heads} ヘッドのうち注意の差が最大なのは {named(strongest.heads)} で、"
                f"{self.evidence(strongest)}である。"
                "同時信頼区間がないため、どのヘッドについても注意を向けるとは言わない。"
            )
        text = (
            f"{n_heads} ヘッドのうち {len(found.attending)} 個が概念の語に注意を向ける（同じ位置の中立語との差が、"
            f"シンク以外の注意の {limit} を超える。同時 95 % 信頼区間による）。"
        )
        text += f"{found.n_attending_open} 個は未決である。" if found.n_attending_open else ""
        text += f"同じ幅を超えて注意が弱まるヘッドは {len(found.averse)} 個ある。" if found.averse else ""
        return f"{text}Δ が最大なのは {named(strongest.heads)} で、{sized_ja(strongest)}である。"

    def discussion(self, found: ConceptFindings) -> list[str]:
        """What may and what may not be concluded about one concept."""
        points: list[str] = []
        if found.assay is not None:
            points.append(self._assay(found))
        if found.looked:
            points.append(f"**注意**：{self._looking(found)}注意を向けていることは、原因であることを意味しない。")
        if found.alone and found.assay_shown is not False:
            points.append(self._doing(found))
        if found.agreement is not None:
            points.append(self._looking_and_doing(found))
        if found.predicted and found.assay_shown is not False:
            points.append(f"**予測**：{prediction_ja(found)}")
        if found.patched and found.assay_shown is not False:
            points.append(f"**パッチング**：{patching_ja(found, self)}")
        for one in found.sets:
            points += self._on_set(one)
        return points

    def _assay(self, found: ConceptFindings) -> str:
        if found.assay is None:
            return ""
        text = "**測定感度**：編集なしのモデルでは、概念のプロンプトと対照文の対数オッズの差は "
        text += f"{self.evidence(found.assay)}であり、{share(found.share_right)} のプロンプトで正しい向きに出る。"
        return text + ("" if found.assay_shown else "この概念は示されていないため、以下の効果は解釈しない。")

    def _doing(self, found: ConceptFindings) -> str:
        text = f"**効果**：{self._alone(found)}"
        shown = [*found.lowering, *found.raising]
        both = [one for one in shown if one.heads in found.alone_zero]
        if both:
            same = sum(one.estimate * found.alone_zero[one.heads].estimate > 0 for one in both)
            text += f"このうちゼロ置換でも符号が一致するのは {len(both)} 個中 {same} 個である。"
        return text

    def _alone(self, found: ConceptFindings) -> str:
        n_heads = len(found.alone)
        strongest = [f"{named(one.heads)} の {self.evidence(one)}" for one in found.lowering[:1]]
        text = f"単独で除いたとき対数オッズを {number(found.threshold_nats)} nats を超えて下げるヘッドは、"
        text += f"{n_heads} 個のうち {len(found.lowering)} 個"
        text += f"（最大：{strongest[0]}）" if strongest else self._blind_below(found)
        text += f"、同じ幅を超えて上げるヘッドは {len(found.raising)} 個である（同時 95 % 信頼区間による）。"
        return text + f"大きさを問わず効果が検出可能なヘッドは {found.n_detectable} 個である。"

    def _looking_and_doing(self, found: ConceptFindings) -> str:
        agreement = found.agreement
        if agreement is None:
            return ""
        top = min(10, len(found.looked))
        return (
            f"**注意と効果の対比**：{agreement.n} ヘッドにわたる Δ 注意と除去による低下量の順位相関は "
            f"{number(agreement.rho)}（95 % 信頼区間 {interval(agreement.low, agreement.high)}）である。"
            f"1 つのモデルのヘッドは独立な標本ではないため、この区間は記述にとどまり、一般化を意味しない。"
            f"Δ の大きい {top} ヘッドのうち、除くと対数オッズが {number(found.threshold_nats)} nats を超えて下がるのは "
            f"{found.shared_top(top)} 個である。"
        )

    def _on_set(self, one: SetFindings) -> list[str]:
        points: list[str] = []
        primary = one.primary
        if primary is not None:
            points.append(f"**{named(one.heads)}**：{self._together(one, '')}{self._beside(one)}")
        points += [self._generated(one, effect) for effect in one.generated]
        damage = one.effect("perplexity_ratio")
        if damage is not None:
            points.append(
                f"**{named(one.heads)} による損傷**：対照文のパープレキシティはベースラインの "
                f"{number(damage.estimate)} 倍（95 % 信頼区間 {interval(damage.low, damage.high)}）になる。"
            )
        return points

    def _beside(self, one: SetFindings) -> str:
        text, primary = "", one.primary
        if one.total is not None and primary is not None and one.n_heads > 1:
            text += f"同じヘッドを 1 個ずつ除いたときの効果の和は {self.evidence(one.total)}である。"
        return text + self._among(one)

    def _among(self, one: SetFindings) -> str:
        """Where a set stands among random ones; empty where that was not measured."""
        if one.null is None or not isfinite(as_float(one.null["percentile"])):
            return ""
        matched = "層をそろえた" if one.null["layer_matched"] else "層を問わない"
        beyond = 1 - as_float(one.null["percentile"]) / 100
        return (
            f"同じ大きさで互いに素な、{matched}ランダム集合 {count(one.null['n_random'])} 組と比べると "
            f"{equation('p', beyond)}（到達しうる最小値 {number(one.null['floor'])}）である。"
        )

    def _generated(self, one: SetFindings, effect: Effect) -> str:
        done = {-1: "の減少は検出可能である", 1: "の増加は検出可能である", 0: "の変化は検出されない"}[effect.direction]
        what = "生成文中の概念キーワード" if effect.outcome.startswith("keyword") else "感情スコア"
        text = f"**{named(one.heads)} を除いた生成文**：{what}{done}：{self.evidence(effect)}。"
        return text + (f"{self._power(effect)}。" if effect.direction == 0 else "")

    def candidates(self, found: ConceptFindings) -> str:
        """Which heads to patch next, and on what ground."""
        if found.assay_shown is False:
            return "なし（モデルがこの概念を示さない）"
        causal = found.judged(*CARRIERS, READING_UNDECIDED, "causal, not specific")
        if causal:
            return _listed([self._verdict_words(row, found) for row in causal])
        if found.lowering:
            return _listed([f"{named(one.heads)}：{self.evidence(one)}" for one in found.lowering])
        if found.attending:
            listed = _listed([f"{named(one.heads)}：Δ {sized_ja(one)}" for one in found.attending])
            return f"注意のみに基づく候補（意味のある効果は示されていない）：{listed}"
        return "注意からも効果からも候補は示されない"

    def direction(self, name: str) -> str:
        """The name of a direction of patching."""
        return {"sufficiency": "十分性", "necessity": "必要性"}.get(name, plain(name))

    def set_title(self, found: SetFindings) -> str:
        """Heading of the section on one set of heads."""
        how = "指定されたヘッド" if found.role == "requested" else "上位ヘッドの同時除去"
        return f"{plain(found.concept)} のプロンプトにおける {named(found.heads)}（{how}）"

    def file(self, name: str) -> str:
        """What a file of the run folder holds; empty where it is not known."""
        return _FILES.get(name.split("/")[-1], "")

    def option(self, name: str) -> str:
        """A setting's name."""
        return _OPTIONS.get(name, plain(name))

    def figure(self, name: str) -> str:
        """Caption of a figure, from its file name without extension."""
        kind, rest = figure_kind(name, tuple(_FIGURES))
        return _FIGURES.get(kind, "") + (f"（{plain(rest.replace('_', ' '))}）" if kind and rest else "")


def _listed(items: Sequence[str]) -> str:
    shown = list(items[:NAMED])
    return "、".join(shown) + (f"、ほか {len(items) - NAMED} 個" if len(items) > NAMED else "")
