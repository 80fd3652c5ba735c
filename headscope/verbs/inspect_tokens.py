"""The texts of tokens, for people: of each of a prompt, of one that may follow it, of those of a text as it is written.

A character may have several tokens: its text is given whole, or not yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from headscope.measure.live_text import Chosen
from headscope.tokens import Tokens
from headscope.vocabulary import special_tokens

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class WrittenToken:
    """One more token of a text that is being written.

    Attributes:
        arm: ``baseline`` or ``edited``.
        token_id: the token; None where the text ends because it has all the tokens that were asked for.
        text: what it adds to the text; empty while a character is not complete.
        ends: the arm's text is complete; its ``text`` is what was still held back.
    """

    arm: str
    token_id: int | None
    text: str
    ends: bool = False


class TokenTexts:
    """Of one tokenizer; each text is made once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def of(self, token: int) -> str:
        """What a token adds to the text before it; its piece of the vocabulary where that is no whole character."""
        if token not in self._known:
            decoded: str = self._tokenizer.decode([*self._letter, token], clean_up_tokenization_spaces=False)
            text = decoded[self._n_letter :]
            whole = bool(text) and _INCOMPLETE not in text
            self._known[token] = text if whole else str(self._tokenizer.convert_ids_to_tokens(token))
        return self._known[token]

    def of_prompt(self, prompt: Tokens) -> tuple[list[str], list[bool]]:
        """The text of each token, and whether it is a special one.

        Of all but a BOS that was put before it they join to the prompt's text. Of a character of several tokens the
        first has it, and the others have none.
        """
        texts, at, last = list[str](), 0, len(prompt) - 1
        for index, (token, (_, end)) in enumerate(zip(prompt.ids, prompt.offsets, strict=True)):
            if index < prompt.n_bos:
                texts.append(self._special.get(token, ""))
                continue
            end = len(prompt.text) if index == last else max(at, end)
            texts.append(prompt.text[at:end])
            at = end
        return texts, [token in self._special for token in prompt.ids]

    def pieces(self, chosen: Iterable[Chosen], names: Sequence[str]) -> Iterator[WrittenToken]:
        """What each token adds to the text of its arm, and at the end what was held back; ``names``: of the arms."""
        written: list[list[int]] = [[] for _ in names]
        n_told, open_arms = [0] * len(names), dict.fromkeys(range(len(names)))
        for one in chosen:
            if one.ends:
                del open_arms[one.arm]
            else:
                written[one.arm].append(one.token)
            text = self._decoded(written[one.arm])
            ready = len(text) if one.ends else max(n_told[one.arm], len(text.rstrip(_INCOMPLETE)))
            yield WrittenToken(names[one.arm], one.token, text[n_told[one.arm] : ready], one.ends)
            n_told[one.arm] = ready
        for arm in open_arms:
            yield WrittenToken(names[arm], None, self._decoded(written[arm])[n_told[arm] :], ends=True)

    def _decoded(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    @cached_property
    def _special(self) -> dict[int, str]:
        return special_tokens(self._tokenizer)

    @cached_property
    def _letter(self) -> list[int]:
        """Put before a token, because some tokenizers leave out the space of one that begins a text."""
        return list(self._tokenizer("a", add_special_tokens=False)["input_ids"])

    @cached_property
    def _n_letter(self) -> int:
        return len(self._tokenizer.decode(self._letter, clean_up_tokenization_spaces=False))
