"""The parts of a text that attention is summed over."""

from __future__ import annotations

REGIONS = ("span", "prompt", "punctuation", "readout", "first_token", "query")
"""Parts of a text read from its end: the concept's words, the rest of the prompt, its final punctuation, the readout
without the query, the first token (BOS where there is one), the query itself."""
