"""What steering would take: its doses and nulls, counted pass by pass and not run."""

from __future__ import annotations

from collections.abc import Mapping

from headscope.heads import HeadSet
from headscope.measure.edits import Arm
from headscope.stages import Counted, Stage
from headscope.study import Study
from headscope.verbs.forecast import Forecast, calibrate, forecast_of
from headscope.verbs.steer_passes import SteeredConcept
from headscope.verbs.steer_request import SteerRequest, sets_of, vectors_of
from headscope.verbs.steer_vectors import Given


def forecast_steer(
    study: Study, heads: Mapping[str, HeadSet], request: SteerRequest, given: Given | None, *, text_tokens: int = 0
) -> Forecast:
    """Count the work of ``steer``, calibrate, and say what the prompts can show.

    Nulls are bounds: every draw of every set. ``text_tokens``: new tokens of one prompt under one arm, 0 for none.

    Raises:
        RequestError, ProfileError: as ``steer`` would.
    """
    sets = sets_of(study, heads, request)
    counted: list[Counted] = [study.stage("unedited", []).counted()]
    n_texts, n_doses, zero = 0, len(request.dosage.doses), list[Arm]()
    for name, chosen in sets.items():
        one = SteeredConcept(study.only(name), vectors_of(study.only(name), name, request, given), request.dosage)
        adds = bool(one.own_vector())
        arms = [arm for each in chosen for arm in one.arms(each, one.own_vector())]
        arms += [arm for each in chosen for arm in one.residual_arms(each)] if adds else []
        if adds:
            prompts = tuple(one.vectors.layouts)
            counted.append(Stage(f"vectors: {name}", one.study, prompts, (), damage_on="none").counted())
        counted.append(one.stage(f"steering: {name}", arms).counted())
        if not one.at_once:
            counted.append(one.damage_stage(arms).counted())
        for each in chosen:
            nulls = one.arms(each, one.own_vector()) * (request.n_random * (2 if adds else 1))
            counted.append(one.null_stage(nulls, bound=True).named(f"random vectors and heads: {name}").counted())
        n_texts += len(one.rows) * (1 + n_doses) if len(chosen) == 1 else 0
        zero += [Arm(each, "zero") for each in chosen]
    return forecast_of(
        study,
        counted,
        calibrate(study.stage("steering", zero[:1]), texts=text_tokens > 0),
        n_tests=sum(map(len, sets.values())) * n_doses,
        text_tokens=text_tokens * n_texts,
    )
