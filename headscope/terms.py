"""The vocabulary, once: outcomes with units and directions, edits, roles of rows, and what decides.

Names that stand in tables are texts, because they are read by others; here each has one sentence and its title.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Scale = Literal["difference", "log_ratio", "divergence"]
"""How baseline and edited make one number: edited - baseline, geometric mean of edited / baseline, or a distance that
is never below 0 (and has no sign-flip test)."""

PRIMARY = "lexicon_logodds_nats"
ANSWERS, ANSWER_PROB, ANSWER_ACCURACY = "answer_logodds_nats", "answer_prob", "answer_accuracy"
PRIMARIES = (PRIMARY, ANSWERS)
"""The outcome that decides: of concepts the first, of tasks the second; one run has one of them."""
SPECIFICITY = "specificity_nats"
KL = "kl_nats_per_token"
PERPLEXITY_RATIO = "perplexity_ratio"
REFUSAL, REGEX, CLASSIFIER = "refusal", "regex_", "classifier_"
ALPHA = 0.05
"""The level at which a q or a family-wise p counts as evidence."""

DECIDING_EDIT = "mean"
"""The edit whose effects are tested, ranked and judged."""
AGREEING_EDIT = "zero"
"""The edit whose effect must have the same sign."""


@dataclass(frozen=True)
class Outcome:
    """Something measured of the model, edited and not.

    Attributes:
        name: in tables; a family's name is a beginning that names go on from.
        unit: of its estimate; "" where a plain number.
        says: one sentence.
        raises: what a positive estimate means.
        lowers: what a negative estimate means.
        title: language -> name in headings; ``{name}`` is what follows a family's name.
        scale: how the arms make one number.
        is_damage: measured on control prompts, whose class stands in the place of a concept.
        is_family: ``name`` is a beginning.
    """

    name: str
    unit: str
    says: str
    raises: str
    lowers: str
    title: Mapping[str, str]
    scale: Scale = "difference"
    is_damage: bool = False
    is_family: bool = False


_MORE_WORDS, _FEWER_WORDS = "more of the concept's words are written", "fewer of the concept's words are written"

OUTCOMES: dict[str, Outcome] = {
    outcome.name: outcome
    for outcome in (
        Outcome(
            PRIMARY, "nats", "log-odds of the concept's lexicon against its controls; `…:other` with another's lexicon",
            "the concept's words become likelier", "the concept's words become less likely",
            {"en": "lexicon log-odds", "ja": "語彙の対数オッズ"},
        ),
        Outcome(
            ANSWERS, "nats", "log-odds of a prompt's answers against its foils, several tokens teacher-forced; of the "
            "answers alone where it has no foils",
            "the right answers become likelier", "the right answers become less likely",
            {"en": "answer log-odds", "ja": "正答の対数オッズ"},
        ),
        Outcome(
            ANSWER_PROB, "probability", "probability of a prompt's answers, summed",
            "the right answers become likelier", "the right answers become less likely",
            {"en": "probability of the answers", "ja": "正答の確率"},
        ),
        Outcome(
            ANSWER_ACCURACY, "share_of_prompts", "1 where an answer is likelier than every foil, else 0",
            "more prompts are answered right", "fewer prompts are answered right", {"en": "accuracy", "ja": "正答率"},
        ),
        Outcome(
            SPECIFICITY, "nats", "own change minus that of `:other` on the same prompts, both turned positive",
            "the own concept changes more", "the other concept changes more",
            {"en": "own change − change of", "ja": "自概念の変化 − 他概念の変化"},
        ),
        Outcome(
            KL, "nats_per_token", "KL divergence of edited from unedited predictions of control prompts",
            "predictions differ", "never",
            {"en": "KL divergence on control prompts", "ja": "対照文での KL ダイバージェンス"},
            scale="divergence", is_damage=True,
        ),
        Outcome(
            PERPLEXITY_RATIO, "ratio", "perplexity of control prompts, edited / unedited", "control text becomes less "
            "likely: damage", "control text becomes likelier",
            {"en": "perplexity ratio on control prompts", "ja": "対照文でのパープレキシティ比"},
            scale="log_ratio", is_damage=True,
        ),
        Outcome(
            "keyword_count_phase6_", "keywords_per_prompt_and_text", "keywords as the Phase 6 study counted them, in "
            "prompt and generated text", _MORE_WORDS, _FEWER_WORDS,
            {"en": "keywords as the Phase 6 study counted: {name}", "ja": "キーワード（Phase 6 の数え方）：{name}"},
            is_family=True,
        ),
        Outcome(
            "keyword_count_", "keywords_per_text", "lexicon words in generated text", _MORE_WORDS, _FEWER_WORDS,
            {"en": "keywords: {name}", "ja": "キーワード：{name}"}, is_family=True,
        ),
        Outcome(
            "sentiment_", "sentiment_-1_to_1", "sentiment of generated text by the scorer named", "text is kinder",
            "text is harsher", {"en": "sentiment: {name}", "ja": "感情スコア：{name}"}, is_family=True,
        ),
        Outcome(
            "distinct_2", "share_of_word_pairs", "distinct word pairs in generated text, of all", "text repeats less",
            "text repeats more", {"en": "distinct word pairs (distinct-2)", "ja": "異なる単語対の割合（distinct-2）"},
        ),
        Outcome(
            REFUSAL, "share_of_texts", "texts with a sentence that begins as a refusal does, of all; on request",
            "text refuses more often", "text refuses less often", {"en": "refusals", "ja": "拒否"},
        ),
        Outcome(
            REGEX, "matches_per_text", "matches of a pattern in generated text; on request",
            "the pattern matches more often", "the pattern matches less often",
            {"en": "matches of pattern {name}", "ja": "パターン {name} の一致数"}, is_family=True,
        ),
        Outcome(
            CLASSIFIER, "classifier_score", "what a classifier says of generated text: the probability of a label, or "
            "P(positive) − P(negative); on request", "the classifier's value rises", "the classifier's value falls",
            {"en": "classifier: {name}", "ja": "分類器：{name}"}, is_family=True,
        ),
    )
}  # fmt: skip
DAMAGE_OUTCOMES = tuple(outcome.name for outcome in OUTCOMES.values() if outcome.is_damage)


EDITS: dict[str, str] = {
    "mean": "the mean over all tokens of control prompts of other templates",
    "zero": "zero",
    "zero_keep_bias": "its value bias alone",
    "position_mean": "the mean over control prompts of other templates at the same distance from the start",
    "resample": "its output on one control prompt of another template, drawn by the seed, token by token",
    "bos": "its output where it attends to BOS only",
}
"""Kind of edit -> what stands in the place of a head's output."""

STEERING_EDITS: dict[str, str] = {
    "scale": "its output times the dose: 0 is `zero`, 1 changes nothing, 2 doubles it",
    "add": "its output + dose × σ × the unit vector, σ the standard deviation of its output along the vector on "
    "control prompts",
}
"""Kind of edit that turns heads up -> what stands in the place of a head's output."""

VECTORS: dict[str, str] = {
    "mean_difference": "mean output on the concept's prompts − on their controls",
    "probe": "weights of a logistic probe that tells the concept's prompts from their controls by the output",
    "given": "a vector of one's own",
}
"""Kind of steering vector of ``add`` -> where it comes from; fitted on other templates than it is used on."""
FITTED_VECTORS = tuple(name for name in VECTORS if name != "given")

STEERING_SCOPES: dict[str, str] = {
    "all": "every token",
    "from_span": "the concept's words and all that follows",
    "generated": "what follows the prompt: a readout, new words",
}
"""Scope of a steering edit -> the tokens at which it holds; on control text, where damage is read, it holds at every
token whatever the scope."""

RANDOM_VECTOR, RANDOM_HEADS = "random_vector", "random_heads"
NULLS: dict[str, str] = {
    RANDOM_VECTOR: "random vectors of the same norm in the same heads",
    RANDOM_HEADS: "the same dose in random other heads, of the same layers where there are enough",
}
"""What a dose-response is compared with."""

EVEN_SPREAD = "even_spread"
ATTENTION_OF_EVEN_SPREAD = f"attention_{EVEN_SPREAD}"
"""A kind of control of the screen: what marked places would get if attention were the same on every token. It decides
of a task's heads: the corrupted partner has a word of the same kind in the same place, which a head looks at alike."""

RESIDUAL = "residual_stream"
SINGLE, REQUESTED, JOINT_TOP, SUM_OF_SINGLES = "single", "requested", "joint_top", "sum_of_singles"
TOP_K, BOTTOM_K, KEPT_K, RANDOM_BAND = "top_k", "bottom_k", "kept_k", "random_band"
LEAVE_ONE_IN, MARGINAL, SMALLEST = "leave_one_in", "marginal", "smallest"

ROLES: dict[str, str] = {
    SINGLE: "a head alone, on all prompts",
    REQUESTED: "the heads that were asked for",
    JOINT_TOP: "a chosen top set, of one head too, on the prompts that did not choose it",
    SUM_OF_SINGLES: "what the heads of a top set do one at a time, summed",
    TOP_K: "the k heads that lower the concept most",
    BOTTOM_K: "the k heads of least effect",
    KEPT_K: "all heads but the top k",
    RANDOM_BAND: "k heads drawn at random, a row a draw",
    LEAVE_ONE_IN: "a top set but for one head, which is put back",
    MARGINAL: "what the removal of that head adds to that of the others",
    SMALLEST: "the smallest set found that removes a share of the concept, a row a half of the templates",
    RESIDUAL: "no heads: a vector of the same norm added to the residual stream behind their layers",
}
"""Role of a row of ``effects`` (some of them of ``patching``) -> what its heads are."""
SET_ROLES = (REQUESTED, JOINT_TOP)
JUDGED_ROLES = (SINGLE, *SET_ROLES)

REGION_WORDS: dict[str, str] = {
    "span": "the concept's words",
    "prompt": "the rest of the prompt",
    "punctuation": "the final punctuation",
    "readout": "the readout",
    "first_token": "the first token",
    "query": "the query itself",
}
"""Parts of a text read from its end, in order: the concept's words, the rest of the prompt, its final punctuation, the
readout without the query, the first token (BOS where there is one), the query itself."""
REGIONS = tuple(REGION_WORDS)

STAGES = (
    "assay", "screen", "probes", "scores", "sweep", "verdicts", "texts", "nulls", "patching", "curves",
    "negative_control",
)  # fmt: skip
"""Of a whole run, in the order of their value: does the model show the concept, where do heads look, what can be read
off them, what would their removal do by gradients, what does it do, what is each head to the concept, what does the
model say without the top heads, random sets beside them, patching, growing sets, random words as concepts."""
