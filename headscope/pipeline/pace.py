"""How far a whole run is: which stages it has, what each took, and what those to come may take.

What a stage is expected to take follows from its counted work (``verbs.run_plan``) and the time of the stages that were
run: seconds per token and layer of the last ones. The first stage runs every prompt unedited, so from then on there is
a rate; nothing is timed for its own sake. With a time limit, a stage that is not expected to fit is not begun, nor what
needs it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from headscope.errors import RequestError, one_of
from headscope.runs.folder import Run
from headscope.runs.manifest import StageState
from headscope.stages import Counted
from headscope.terms import STAGES

NEEDED = {"verdicts": "sweep", "texts": "sweep", "nulls": "texts", "patching": "sweep", "curves": "sweep"}
"""Stage -> the stage without which it cannot be run."""

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_of(text: str) -> float:
    """``30m``, ``2h``, ``1h30m``, ``90s`` in seconds.

    Raises:
        RequestError: it is no time above 0.
    """
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    found = (
        sum(float(part) * of for part, of in zip(parts.groups(), _SECONDS.values(), strict=True) if part)
        if parts
        else 0
    )
    if not found > 0:
        raise RequestError(
            "--time is no time", expected="hours, minutes or seconds, such as 2h, 30m or 1h30m", got=text
        )
    return found


class Pace:
    """The stages of one run, told to its folder."""

    def __init__(
        self,
        folder: Run,
        work: Mapping[str, Counted],
        left_out: Mapping[str, str],
        *,
        until: str | None = None,
        limit_seconds: float | None = None,
        text_layer_tokens: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``work``: stage -> its counted work; ``left_out``: stage -> why; ``text_layer_tokens`` of stage ``texts``.

        Raises:
            RequestError: there is no stage ``until``, or the run leaves it out.
        """
        self._folder, self._clock, self._limit = folder, clock, limit_seconds
        self._work = {name: float(one.layer_tokens) for name, one in work.items()}
        if "texts" in self._work:
            self._work["texts"] += text_layer_tokens
        self._before = {one.name: one.seconds or 0.0 for one in folder.manifest.stages if one.status == "done"}
        self._rate: float | None = None
        self._begun = self._started = clock()
        self.stages = {
            name: StageState(
                name=name, status="left out" if name in left_out else "to come", why=left_out.get(name, "")
            )
            for name in STAGES
            if name in self._work or name in left_out
        }
        self._stop_after(until)

    def _stop_after(self, until: str | None) -> None:
        if until is None:
            return
        one_of("stage", until, [name for name, one in self.stages.items() if one.status == "to come"])
        names = list(self.stages)
        for name in names[names.index(until) + 1 :]:
            if self.stages[name].status == "to come":
                self._not_reached(name, f"--until {until}")

    def begins(self, name: str) -> bool:
        """Whether a stage is to be run now; it is then marked as running."""
        one = self.stages.get(name)
        if one is None or one.status != "to come":
            return False
        needed = self.stages.get(NEEDED.get(name, ""))
        if needed is not None and needed.status != "done":
            return self._not_reached(name, f"it needs the stage {needed.name}")
        self._expect()
        left = None if self._limit is None else self._limit - (self._clock() - self._started)
        if left is not None and one.expected_seconds is not None and one.expected_seconds > left:
            return self._not_reached(
                name, f"it may take {one.expected_seconds:.0f} s, and of --time {max(0.0, left):.0f} s are left"
            )
        one.status, self._begun = "running", self._clock()
        self._folder.tell_stages(list(self.stages.values()))
        return True

    def starts(self) -> None:
        """The stage that was marked as running starts to run: its time counts from here."""
        self._begun = self._clock()

    def done(self, name: str) -> None:
        """Note that a stage is done, and what it took: in the run that went on here, where that was longer."""
        # In a run that goes on, the pieces of a stage that was done before are only read.
        one, took = self.stages[name], max(self._clock() - self._begun, self._before.get(name, 0.0))
        one.status, one.seconds = "done", round(took, 3)
        if self._work.get(name):
            self._rate = took / self._work[name]
        self._expect()
        self._folder.tell_stages(list(self.stages.values()))

    def stopped(self) -> None:
        """Nothing more is run: what was running or to come is not reached."""
        for name, one in self.stages.items():
            if one.status in ("running", "to come"):
                self._not_reached(name, "the run was stopped")
        self._folder.tell_stages(list(self.stages.values()))

    @property
    def reached_all(self) -> bool:
        """Whether every stage that was asked for is done."""
        return all(one.status in ("done", "left out") for one in self.stages.values())

    @property
    def not_reached(self) -> str:
        """The stages that were not reached, listed."""
        return ", ".join(name for name, one in self.stages.items() if one.status == "not reached")

    def _not_reached(self, name: str, why: str) -> bool:
        self.stages[name].status, self.stages[name].why = "not reached", why
        return False

    def _expect(self) -> None:
        for name, one in self.stages.items():
            if one.status == "to come" and self._rate is not None:
                one.expected_seconds = round(self._rate * self._work.get(name, 0.0), 3)
