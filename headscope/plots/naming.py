"""File names of pictures in which two different pictures never share a name.

A name is ``<kind>_<model>_<concept>_<heads>``, each part only where it applies. Models and concepts are reduced to
lower-case letters, digits and hyphens, so an underscore always separates parts; where that changes a name, or it is
very long, eight hexadecimal digits of its SHA-256 follow, so ``my/model`` and ``my-model`` stay apart. Heads are
written as in ``headscope.heads``: ``1:10`` is ``1_10`` and ``11:0`` is ``11_0``.
"""

from __future__ import annotations

import hashlib
import re

_LONGEST = 60


def plot_name(kind: str, *, model: str | None = None, concept: str | None = None, heads: str | None = None) -> str:
    """The file name, without extension, of a picture.

    Args:
        kind: the picture, e.g. ``head_reaction_heatmap``.
        model: the model's name or path; None leaves it out, as the Phase 6 study's names do.
        concept: one concept's name.
        heads: canonical heads spec, e.g. ``1:10,3:2``.
    """
    parts = [kind, *(slug(part) for part in (model, concept) if part is not None)]
    if heads is not None:
        spec = heads.replace(":", "_").replace(",", "-")
        parts.append(spec if len(spec) <= _LONGEST else f"{spec.count('-') + 1}-heads-{_digest(heads)}")
    return "_".join(parts)


def slug(text: str) -> str:
    """``text`` as letters, digits and hyphens; different texts give different slugs."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain == text and len(plain) <= _LONGEST:
        return plain
    return f"{plain[:_LONGEST].strip('-')}-{_digest(text)}".lstrip("-")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
