"""The texts of tokens, for people: of each of a prompt, and of one that may follow it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from headscope.tokens import Tokens
from headscope.vocabulary import special_tokens

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


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
