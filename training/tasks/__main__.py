"""Write the bundled tasks into ``headscope/profiles/builtin``.

Run from the project's root: ``python -m training.tasks``. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import ModuleType
from typing import Final

from training.tasks import (
    agreement,
    capitals,
    copying,
    greater_than,
    ioi,
    negation,
    pronouns,
    successor,
)
from training.tasks.rows import row

SEED: Final = 1
TASKS: Final[dict[str, ModuleType]] = {
    "agreement": agreement,
    "capitals": capitals,
    "copy": copying,
    "greater_than": greater_than,
    "ioi": ioi,
    "negation": negation,
    "pronouns": pronouns,
    "successor": successor,
}
FOLDER: Final = Path("headscope") / "profiles" / "builtin"
_PROFILE = """\
# Profile "{name}": a task. Written by `python -m training.tasks`; see docs/profiles.md for the format.
format: headscope-profile/1
name: {name}
description: {description}
language: en
control: corrupted
prompts: prompts.jsonl
tasks:
  {name}:
    description: {partner}
"""


def files(name: str, seed: int = SEED) -> dict[str, str]:
    """The two files of one task's profile, by name."""
    task = TASKS[name]
    made = list(task.examples(random.Random(f"{seed} {name}")))  # noqa: S311 - text, not secrets
    lines = [json.dumps(row(name, number, one)) for number, one in enumerate(made, start=1)]
    n_templates = len({one.template for one in made})
    # JSON's way to quote a text is YAML's too.
    description = json.dumps(f"{task.DESCRIPTION} {n_templates} frames, {len(made)} matched pairs.")
    asked = json.dumps(f"{task.DESCRIPTION} In the corrupted partner {task.PARTNER}.")
    return {
        "profile.yaml": _PROFILE.format(name=name, description=description, partner=asked),
        "prompts.jsonl": "".join(f"{line}\n" for line in lines),
    }


def main() -> None:
    """Command line."""
    for name in TASKS:
        (FOLDER / name).mkdir(exist_ok=True)
        for file, content in files(name).items():
            (FOLDER / name / file).write_text(content, encoding="utf-8", newline="\n")
            print(FOLDER / name / file)


if __name__ == "__main__":
    main()
