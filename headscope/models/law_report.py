"""The table that the load check prints: law, measured difference, tolerance, passed, note."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from headscope.errors import LawError


@dataclass(frozen=True)
class Law:
    """One law and how the model did.

    Attributes:
        difference: largest measured difference, relative to ``scale`` of what was compared where that is above 1;
            NaN where it was not measured.
        tolerance: largest difference that passes; NaN where it was not measured.
        passed: None where it was not measured.
    """

    name: str
    difference: float
    tolerance: float
    passed: bool | None
    note: str = ""


def unmeasured(name: str, note: str) -> Law:
    """A law that was not measured, and why."""
    return Law(name, math.nan, math.nan, None, note)


@dataclass(frozen=True)
class LawReport:
    """All laws of one model.

    Attributes:
        laws: in the order in which they were checked; empty where the check was skipped.
        checked: False where the model was loaded unchecked.
    """

    laws: tuple[Law, ...] = ()
    checked: bool = False

    @property
    def passed(self) -> bool:
        """Whether the check ran and no law failed."""
        return self.checked and all(law.passed is not False for law in self.laws)

    def require(self, name: str) -> None:
        """Raise LawError, naming every law that failed, its measured difference and the tolerance."""
        failed = [law for law in self.laws if law.passed is False]
        if failed:
            raise LawError(
                f'model "{name}" breaks {len(failed)} of {len(self.laws)} laws that every measurement rests on',
                expected="; ".join(f"{law.name}: at most {law.tolerance:.1e}" for law in failed),
                got="; ".join(
                    f"{law.name}: {law.difference:.1e}" + (f" ({law.note})" if law.note else "") for law in failed
                ),
                fix="`headscope check` prints the whole table; --unchecked measures anyway, and every artifact says so",
            )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; a missing number is None."""
        return {
            "checked": self.checked,
            "passed": self.passed,
            "laws": [
                {
                    "law": law.name,
                    "difference": law.difference if math.isfinite(law.difference) else None,
                    "tolerance": None if math.isnan(law.tolerance) else law.tolerance,
                    "passed": law.passed,
                    "note": law.note,
                }
                for law in self.laws
            ],
        }

    def __str__(self) -> str:
        if not self.checked:
            return "load check: not run (unchecked)"
        width = max(len(law.name) for law in self.laws)
        verdicts = {True: "passed", False: "FAILED", None: "-"}
        lines = [f"{'law':<{width}}  {'difference':>10}  {'tolerance':>9}  {'result':<6}  note"]
        lines += [
            f"{law.name:<{width}}  {_number(law.difference):>10}  {_number(law.tolerance):>9}  "
            f"{verdicts[law.passed]:<6}  {law.note}".rstrip()
            for law in self.laws
        ]
        return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else "0" if value == 0 else f"{value:.1e}"
