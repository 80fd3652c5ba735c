"""Named random streams drawn from one seed.

Every use of randomness names what it is for; the name and the seed are hashed into the key of a counter-based
generator (Philox). So a draw depends on the seed and its own name alone, never on what was drawn before it, on the
size of a batch, or on where an interrupted run went on.
"""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one named stream.

    Args:
        seed: the request's seed.
        names: what the draws are for, e.g. ``("generation", prompt_id, sample)``.
    """
    label = "\x1f".join([str(seed), *map(str, names)])
    key = int.from_bytes(hashlib.sha256(label.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))
