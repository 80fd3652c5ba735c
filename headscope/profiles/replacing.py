"""``profile_from_files``: a profile with the prompts of some classes replaced by those of files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headscope.errors import ProfileError
from headscope.profiles.assembling import Draft, assemble
from headscope.profiles.columns import Reading
from headscope.profiles.conversations import as_given
from headscope.profiles.files import expanded
from headscope.profiles.formats import RawPrompt
from headscope.profiles.loading import of_class
from headscope.profiles.schema import PromptRow
from headscope.profiles.types import Profile, Prompt


def profile_from_files(files: Mapping[str, str | Path], base: Profile, reading: Reading | None = None) -> Profile:
    """``base`` with the prompts of some classes replaced by those of files; its words and readouts stay.

    Args:
        files: class (a concept of ``base`` or its control) -> file of prompts.
        base: where the rest comes from. Pairs with a control prompt that is no longer there are dissolved.
        reading: which column of the files is what, and whether exact repeats are left out.

    Raises:
        ProfileError: unknown class, or a file is malformed.
    """
    known = (*base.concepts, base.control)
    unknown = [name for name in files if name not in known]
    if unknown:
        raise ProfileError(
            f'profile {base.name} has no class "{unknown[0]}"',
            expected=", ".join(known),
            got=unknown[0],
            fix="a concept of your own needs a profile: headscope profiles new FOLDER",
        )
    reading = reading or Reading()
    # A task's corrupted prompts are read with the answers of their clean partners, and go with them.
    partners = {prompt.pair for prompt in base.prompts if base.has_tasks and prompt.concept in files}
    prompts: list[tuple[str, RawPrompt]] = []
    notes: list[str] = []
    for name in known:
        if name in files:
            rows, read = of_class(name, expanded(files[name]), reading)
            prompts += rows
            notes.append(f"{name}: {len(rows)} prompts of {Path(files[name]).name} in place of those of {base.name}")
            notes += read
        else:
            prompts += [
                (name, _as_row(prompt, base.source, is_control=name == base.control))
                for prompt in base.prompts_of(name)
                if prompt.id not in partners
            ]
    controls = {raw.row.id for name, raw in prompts if name == base.control}
    kept: list[tuple[str, RawPrompt]] = []
    for name, raw in prompts:
        loose = name not in files and raw.row.pair is not None and raw.row.pair not in controls
        kept.append((name, RawPrompt(raw.row.model_copy(update={"pair": None}), raw.origin) if loose else raw))
    draft = Draft(
        name=base.name,
        source=", ".join([base.source, *(str(path) for path in files.values())]),
        tasks={name: concept.description for name, concept in base.concepts.items() if concept.is_task},
        lexicons={name: concept.lexicon for name, concept in base.concepts.items()},
        control_lexicons={name: concept.control_lexicon for name, concept in base.concepts.items()},
        prompts=kept,
        description=base.description,
        language=base.language,
        control=base.control,
        readouts=base.readouts,
        reference_words=base.reference_words,
        notes=notes,
        drop_duplicates=reading.drop_duplicates,
    )
    return assemble(draft, None, strict=False)


def _as_row(prompt: Prompt, origin: str, *, is_control: bool) -> RawPrompt:
    row: dict[str, Any] = {**vars(prompt), "span": None if prompt.span is None else as_given(prompt.span, prompt)}
    row["spans"] = {name: as_given(span, prompt) for name, span in prompt.spans.items()} or None
    row["messages"] = (
        [{"role": role, "content": content} for role, content in prompt.turns] if prompt.messages else None
    )
    row["text"] = None if prompt.messages else prompt.text
    for name in ("answers", "foils"):  # of a control prompt they are its partner's
        row[name] = None if is_control else list(getattr(prompt, name)) or None
    return RawPrompt(PromptRow.model_validate(row), origin)
