"""Tables of a run that never happened: every table a run can leave, with numbers that could be real.

``fake_tables(n_layers, n_heads)`` draws a latent attention Δ and a latent effect for every concept and head, plants
five heads whose story is known (a carrier, a decoy that looks and does nothing, one that reads elsewhere, a
suppressor, one that damages everything), and derives from them what the verbs would write; ranking, layers and
verdicts are then made by the statistics room itself. ``fake_facts`` is the
manifest's part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from headscope.stats.attending import attending
from headscope.stats.ranking import layer_table, rank_heads
from headscope.stats.verdicts import judge
from headscope.terms import REGIONS
from tests.unit.report.fake_probes import fake_probes

CONCEPTS = ("gratitude", "anger", "apology")
N_TEMPLATES = 35
N_PROMPTS = 70
T_QUANTILE = float(special.stdtrit(N_TEMPLATES - 1, 0.975))
PRIMARY = "lexicon_logodds_nats"


def planted_heads(n_layers: int, n_heads: int) -> dict[str, tuple[int, int]]:
    """The heads whose story is known, by role."""
    last = n_layers - 1
    return {
        "carrier": (1, min(10, n_heads - 1)),
        "second_carrier": (min(3, last), 2),
        "decoy": (0, 1),
        "blind": (last, 0),
        "suppressor": (last, n_heads - 1),
        "damage": (0, 0),
    }


def _measured(mean: float, sd: float, n_templates: int = N_TEMPLATES) -> dict[str, float]:
    """Interval, p and power of a mean over templates with standard deviation ``sd``."""
    error = sd / np.sqrt(n_templates)
    quantile = T_QUANTILE
    return {
        "ci_low": mean - quantile * error,
        "ci_high": mean + quantile * error,
        "d_z": mean / sd,
        "p_value": max(2 * float(special.stdtr(n_templates - 1, -abs(mean / error))), 1e-5),
        "mde": (quantile + 0.842) * error,
        "n_prompts": N_PROMPTS,
        "n_templates": n_templates,
    }


def _latent(rng: np.random.Generator, n_layers: int, n_heads: int, concept: str) -> tuple[Any, Any]:
    attention = rng.normal(0, 0.012, (n_layers, n_heads))
    effect = rng.normal(0, 0.008, (n_layers, n_heads))
    heads = planted_heads(n_layers, n_heads)
    strength = {"gratitude": 1.0, "anger": 0.8, "apology": 0.6}.get(concept, 0.5)
    for role, delta, change, only_for in (
        ("carrier", 0.31, -1.9, None),
        ("second_carrier", 0.12, -0.92, "gratitude"),
        ("decoy", 0.22, 0.0, None),
        ("blind", 0.0, -0.9, "anger"),
        ("suppressor", 0.02, 1.1, "apology"),
        ("damage", 0.01, -1.2, None),
    ):
        attention[heads[role]] += delta * strength
        effect[heads[role]] += change * strength if only_for in (None, concept) else 0.0
    return attention, effect


def fake_tables(
    n_layers: int = 4, n_heads: int = 4, concepts: Sequence[str] = CONCEPTS, seed: int = 0
) -> dict[str, pd.DataFrame]:
    """All tables of a run over ``concepts`` of a model with ``n_layers`` x ``n_heads`` heads."""
    rng = np.random.default_rng(seed)
    latent = {concept: _latent(rng, n_layers, n_heads, concept) for concept in concepts}
    screen = _screen(rng, latent)
    effects = _effects(latent, n_layers, n_heads)
    assay = _assay(concepts)
    regions = _regions(latent)
    verdicts = judge(effects, screen, assay, regions=regions)
    probes = fake_probes(n_layers, n_heads, concepts, n_prompts=N_PROMPTS, n_templates=N_TEMPLATES)
    ranking = [rank_heads(screen, effects, verdicts, probes=probes, by=by) for by in ("screen", "effect")]
    return {
        "coverage": _coverage(concepts),
        "screen": screen,
        "assay": assay,
        "effects": effects,
        "ranking": pd.concat(ranking, ignore_index=True),
        "layers": layer_table(screen, effects, answers=attending(screen, 0.02)),
        "attention_by_region": regions,
        "probes": probes,
        "verdicts": verdicts,
        "texts": _texts(concepts, effects),
        "nulls": _nulls(effects),
    }


def fake_screen(n_layers: int, n_heads: int, concepts: Sequence[str] = CONCEPTS, seed: int = 0) -> pd.DataFrame:
    """The screen alone, for models so large that the other tables take long to make."""
    rng = np.random.default_rng(seed)
    return _screen(rng, {concept: _latent(rng, n_layers, n_heads, concept) for concept in concepts})


def _coverage(concepts: Sequence[str]) -> pd.DataFrame:
    rows = [
        {
            "concept": concept,
            "n_prompts": N_PROMPTS,
            "n_spans": N_PROMPTS,
            "n_implicit": 3,
            "n_paired_equal": 66 - index,
            "n_paired_unequal": 4 + index,
            "n_length_matched": 0,
            "n_unmatched": 0,
            "n_without_query": 0,
            "n_without_remainder": 0,
            "coverage_share": (66 - index) / N_PROMPTS,
            "protocol": "matched",
            "note": "",
        }
        for index, concept in enumerate(concepts)
    ]
    return pd.DataFrame(rows)


def _screen(rng: np.random.Generator, latent: Mapping[str, tuple[Any, Any]]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for query in ("last", "after"):
        for measure, unit, scale, sd in (
            ("attention", "attention_share", 1.0, 0.04),
            ("value_weighted", "residual_norm", 2.5, 0.1),
            ("attention_without_sinks", "attention_share", 1.0, 0.012),
        ):
            family: list[dict[str, Any]] = []
            for concept, (attention, _) in latent.items():
                for (layer, head), delta in np.ndenumerate(attention):
                    mean = float(delta) * scale
                    control = float(rng.uniform(0.05, 0.4))
                    measured = _measured(mean, sd)
                    width = 1.7 * (measured["ci_high"] - mean)
                    family.append(
                        {
                            "concept": concept,
                            "layer": layer,
                            "head": head,
                            "query": query,
                            "measure": measure,
                            "control": "paired_equal",
                            "estimate": mean,
                            "unit": unit,
                            "concept_mean": control + mean,
                            "control_mean": control,
                            **measured,
                            "sim_low": mean - width,
                            "sim_high": mean + width,
                            "family": f"screen/{query}/{measure}/paired_equal",
                            "status": "exploratory",
                        }
                    )
            for row, q in zip(family, _q_values([row["p_value"] for row in family]), strict=True):
                row["q_value"] = q
            rows.extend(family)
    return pd.DataFrame(rows)


def _regions(latent: Mapping[str, tuple[Any, Any]]) -> pd.DataFrame:
    """A head that attends reads the words, and any other the readout and the first token; shares sum to 1."""
    rows: list[dict[str, Any]] = []
    for concept, (attention, _) in latent.items():
        for (layer, head), delta in np.ndenumerate(attention):
            span = float(np.clip(2 * delta, 0.0002, 0.9))
            rest = dict(zip(REGIONS[1:], (0.05, 0.01, 0.6, 0.3, 0.04), strict=True))
            for region, share in {"span": span, **{name: (1 - span) * part for name, part in rest.items()}}.items():
                rows.append(
                    {"concept": concept, "layer": layer, "head": head, "region": region}
                    | {"share": share, "share_low": 0.9 * share, "share_high": 1.1 * share}
                    | {"written_norm": 3 * share, "written_norm_low": 2.5 * share, "written_norm_high": 3.5 * share}
                    | {"n_prompts": N_PROMPTS, "n_templates": N_TEMPLATES}
                )
    return pd.DataFrame(rows)


def _q_values(p_values: Sequence[float]) -> list[float]:
    return stats.false_discovery_control(np.asarray(p_values)).tolist()


def _assay(concepts: Sequence[str]) -> pd.DataFrame:
    rows = [
        {
            "concept": concept,
            "outcome": PRIMARY,
            "estimate": 7.61 - index * 0.73,
            "unit": "nats",
            "concept_mean": 5.2 - index * 0.4,
            "control_mean": -2.41 + index * 0.33,
            **_measured(7.61 - index * 0.73, 1.2),
            "share_right": 0.986 - index * 0.014,
            "shown": True,
            "note": "",
        }
        for index, concept in enumerate(concepts)
    ]
    return pd.DataFrame(rows).drop(columns=["d_z", "mde"])


def _effect_row(
    concept: str,
    heads: Sequence[tuple[int, int]],
    role: str,
    edit: str,
    outcome: str,
    unit: str,
    mean: float,
    sd: float,
    baseline: float,
) -> dict[str, Any]:
    alone = len(heads) == 1
    measured = _measured(mean, sd)
    width = measured["ci_high"] - mean
    confirmatory = outcome == PRIMARY and edit == "mean" and role == "single"
    simultaneous = outcome.split(":")[0] in (PRIMARY, "specificity_nats")
    return {
        "concept": concept,
        "layer": heads[0][0] if alone else pd.NA,
        "head": heads[0][1] if alone else pd.NA,
        "heads": ",".join(f"{layer}:{head}" for layer, head in heads),
        "role": role,
        "k": len(heads),
        "edit": edit,
        "scope": "all",
        "outcome": outcome,
        "estimate": mean,
        "unit": unit,
        "baseline_mean": baseline,
        "edited_mean": baseline + mean,
        **measured,
        "sim_low": mean - 1.7 * width if simultaneous else np.nan,
        "sim_high": mean + 1.7 * width if simultaneous else np.nan,
        "p_max_t": min(1.0, measured["p_value"] * 40) if simultaneous else np.nan,
        "q_value": min(1.0, measured["p_value"] * 4),
        "skewness": 0.2,
        "family": f"{'sweep' if role == 'single' else 'sets'}/{outcome.split(':')[0]}/{edit}",
        "status": "confirmatory" if confirmatory else "exploratory",
    }


def _single_rows(concept: str, others: Sequence[str], head: tuple[int, int], change: float) -> list[dict[str, Any]]:
    """One head alone: the primary outcome under both edits, and how much more its own concept changes than others."""
    sd = 0.02 + 0.25 * abs(change)
    rows = [
        _effect_row(concept, [head], "single", edit, PRIMARY, "nats", change * factor, sd, 5.2)
        for edit, factor in (("mean", 1.0), ("zero", 1.15))
    ]
    rows += [
        _effect_row(concept, [head], "single", "mean", f"specificity_nats:{other}", "nats", -0.9 * change, sd, 0.0)
        for other in others
    ]
    return rows


def _effects(latent: Mapping[str, tuple[Any, Any]], n_layers: int, n_heads: int) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    heads = planted_heads(n_layers, n_heads)
    for concept, (_, effect) in latent.items():
        others = [name for name in latent if name != concept]
        for head, change in np.ndenumerate(effect):
            rows += _single_rows(concept, others, (head[0], head[1]), float(change))
        top = sorted([heads["carrier"], heads["second_carrier"]])
        total = float(sum(effect[pair] for pair in top))
        for edit, factor in (("mean", 1.0), ("zero", 1.2)):
            rows += _set_rows(concept, top, "joint_top", edit, 1.4 * total * factor)
            rows += _set_rows(concept, [heads["carrier"]], "requested", edit, float(effect[heads["carrier"]]) * factor)
            if concept == next(iter(latent)):
                rows += _damage_rows(top, "joint_top", edit, 0.1)
                rows += _damage_rows([heads["carrier"]], "requested", edit, 0.05)
        rows.append(_effect_row(concept, top, "sum_of_singles", "mean", PRIMARY, "nats", total, 0.4, 0.0))
        rows += _curve_rows(concept, effect)
    for head in np.ndindex(n_layers, n_heads):
        for edit in ("mean", "zero"):
            rows += _damage_rows([head], "single", edit, 3.0 if head == heads["damage"] else 0.0)
    return pd.DataFrame(rows)


def _curve_rows(concept: str, effect: Any) -> list[dict[str, Any]]:
    """Cumulative sets from both ends of the ranking, and random ones between."""
    rows: list[dict[str, Any]] = []
    ranked = sorted(np.ndindex(*effect.shape), key=lambda pair: float(effect[pair]))
    for k in range(1, min(len(ranked), 6) + 1):
        for role, chosen in (("top_k", ranked[:k]), ("bottom_k", ranked[-k:])):
            total = float(sum(effect[pair] for pair in chosen))
            rows.append(_effect_row(concept, chosen, role, "mean", PRIMARY, "nats", total, 0.4, 5.2))
        for draw in range(4):
            chosen = [ranked[(draw * 3 + i * 2) % len(ranked)] for i in range(k)]
            value = 0.02 * (draw - 1.5) * k
            rows.append(_effect_row(concept, chosen, "random_band", "mean", PRIMARY, "nats", value, 0.3, 5.2))
    return rows


def _set_rows(
    concept: str, heads: Sequence[tuple[int, int]], role: str, edit: str, change: float
) -> list[dict[str, Any]]:
    """Every outcome measured on one set of heads under one edit."""
    other = next(name for name in (*CONCEPTS, "other") if name != concept)
    outcomes = (
        (PRIMARY, "nats", change, 0.3 + 0.2 * abs(change), 5.2),
        (f"{PRIMARY}:{other}", "nats", change * 0.1, 0.5, -1.1),
        (f"specificity_nats:{other}", "nats", change * 0.9, 0.6, 0.0),
        (f"keyword_count_{concept}", "keywords_per_text", change * 0.3, 1.1, 1.2143),
        (f"keyword_count_{other}", "keywords_per_text", 0.0143, 0.12, 0.0429),
        ("sentiment_vader", "sentiment_-1_to_1", change * 0.04, 0.6, 0.4127),
        ("distinct_2", "share_of_word_pairs", -0.004, 0.05, 0.91),
    )
    return [
        _effect_row(concept, heads, role, edit, outcome, unit, mean, sd, baseline)
        for outcome, unit, mean, sd, baseline in outcomes
    ]


def _damage_rows(heads: Sequence[tuple[int, int]], role: str, edit: str, strength: float) -> list[dict[str, Any]]:
    """Damage on control prompts: a divergence has no test, a ratio is on its own scale, where 1 is no change."""
    divergence = _effect_row(
        "neutral", heads, role, edit, "kl_nats_per_token", "nats_per_token", 0.004 + 0.05 * strength, 0.01, 0.0
    )
    for column in ("p_value", "q_value", "d_z", "p_max_t"):
        divergence[column] = np.nan
    divergence["ci_low"] = max(0.0, divergence["ci_low"])
    ratio = _effect_row("neutral", heads, role, edit, "perplexity_ratio", "ratio", 0.002 + 0.1 * strength, 0.03, 0.0)
    for column in ("estimate", "ci_low", "ci_high", "mde"):
        ratio[column] = float(np.exp(ratio[column]))
    ratio["baseline_mean"], ratio["edited_mean"] = 31.4, 31.4 * ratio["estimate"]
    return [divergence, ratio]


def _texts(concepts: Sequence[str], effects: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for concept in concepts:
        chosen = effects[(effects["concept"] == concept) & (effects["role"] == "joint_top")].iloc[0]
        rows += [
            {
                "concept": concept,
                "prompt_id": f"{concept}-{number:03d}",
                "sample": 0,
                "prompt": f"When my neighbor | called *again* on day {number}, I felt {concept}",
                "heads": chosen["heads"],
                "edit": "mean",
                "direction": "",
                "dose": float("nan"),
                "source_id": "",
                "baseline_text": f" and told her about my {concept} at once.",
                "edited_text": " and told her about the weather\nat once.",
            }
            for number in range(1, 4)
        ]
    return pd.DataFrame(rows)


def _nulls(effects: pd.DataFrame) -> pd.DataFrame:
    joint = effects[(effects["role"] == "joint_top") & (effects["edit"] == "mean") & (effects["outcome"] == PRIMARY)]
    rows = [
        {
            "concept": row["concept"],
            "heads": row["heads"],
            "k": row["k"],
            "outcome": PRIMARY,
            "estimate": row["estimate"],
            "percentile": 100 * (1 - 1 / 92),
            "floor": 1 / 92,
            "n_random": 91,
            "layer_matched": False,
            "note": "sets come from any layer: only 81 disjoint sets match its layers, 100 are needed",
        }
        for row in joint.to_dict("records")
    ]
    return pd.DataFrame(rows)


def fake_facts(n_layers: int = 4, n_heads: int = 4, protocol: str = "matched") -> dict[str, Any]:
    """What a manifest would say of the run the tables come from; its keys are the manifest's."""
    return {
        "schema_version": 1,
        "status": "finished",
        "request": {
            "verb": "run",
            "options": {
                "protocol": protocol,
                "query": "last",
                "edits": ["mean", "zero"],
                "scope": "all",
                "max_tokens": 15,
                "temperature": 1.0,
                "top_p": 0.9,
                "samples": 1,
                "sentiment": "vader",
                "keyword_counting": "continuation",
            },
            "model_fingerprint": "9f" * 32,
            "profile_fingerprint": "3c" * 32,
            "seed": 0,
            "threads": 2,
            "device": "cpu",
            "dtype": "float32",
            "batch_plan": {},
        },
        "request_digest": "0a1b2c3d",
        "command": ["headscope", "run", "--model", "demo", "--profile", "baseline", "--out", "runs/my demo"],
        "model": {
            "name": "demo",
            "family": "gpt2",
            "n_layers": n_layers,
            "heads_per_layer": [n_heads] * n_layers,
            "parameters_count": 1_003_264,
            "device": "cpu",
            "dtype": "float32",
        },
        "profile": {"name": "baseline", "source": "bundled"},
        "versions": {"headscope": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        "record": {"readouts": ["All I can say is that I am so"]},
        "warnings": ['prompts "gratitude-003" and "gratitude-004" share a template'],
        "figures": [],
        "artifacts": ["manifest.json", "arrays.safetensors", "tables/screen.csv", "tables/effects.csv"],
    }


def facts_of_verb(verb: str) -> dict[str, Any]:
    """The manifest of a run that a single verb made."""
    facts = fake_facts()
    return facts | {"request": facts["request"] | {"verb": verb}}
