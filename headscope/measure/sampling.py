"""How the next token of a text is chosen.

It is drawn by the Gumbel-max trick: the largest of log-probability + noise over the tokens that temperature and top-p
leave. So rows that agree on the probabilities and on the noise agree on the token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headscope.chat import Chat
from headscope.errors import RequestError
from headscope.models.head_model import HeadModel
from headscope.vocabulary import one_token

SCOPES = ("all", "generated")
_FIRST_ORDERED = 1024


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen.

    Attributes:
        max_tokens: most new tokens a text.
        temperature: logits are divided by it; ignored when greedy.
        top_p: only the smallest set of tokens whose probabilities sum to at least this; 1 keeps all.
        samples: texts for each prompt and arm.
        greedy: always the most probable token; then one sample.
        stop_at_eos: whether EOS ends a text.
        scope: ``all``: an edit holds from the prompt on; ``generated``: on new tokens only.
        seed: the request's seed.
        stop_ids: the tokens that end a text, see ``stop_ids``; None for the model's own EOS, where that is to stop it.
    """

    max_tokens: int = 30
    temperature: float = 1.0
    top_p: float = 0.9
    samples: int = 1
    greedy: bool = False
    stop_at_eos: bool = True
    scope: str = "all"
    seed: int = 0
    stop_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value, fits, expected in (
            ("max_tokens", self.max_tokens, self.max_tokens >= 1, "1 or more"),
            ("samples", self.samples, self.samples >= 1, "1 or more"),
            ("temperature", self.temperature, 0 < self.temperature < float("inf"), "above 0 (or use greedy)"),
            ("top_p", self.top_p, 0 < self.top_p <= 1, "above 0, at most 1"),
            ("scope", self.scope, self.scope in SCOPES, " or ".join(SCOPES)),
        ):
            if not fits:
                raise RequestError(f"{name} cannot be {value}", expected=expected, got=str(value))
        if self.greedy and self.samples > 1:
            raise RequestError(
                "greedy text is the same in every sample", expected="samples 1 with greedy", got=str(self.samples)
            )


def stop_ids(
    model: HeadModel, *, at_eos: bool = True, chat_template: bool | str = False, named: Sequence[str] = ()
) -> tuple[int, ...]:
    """The tokens that end a text, in order of their ids.

    Args:
        model: the model.
        at_eos: the model's EOS is among them: those of its generation configuration, else its tokenizer's; in a chat
            its tokenizer's too, and the token that ends a turn of the template.
        chat_template: as in ``Encoder``.
        named: further tokens by their text.

    Raises:
        RequestError: a named one is not one token, or the tokenizer does not have the template.
    """
    found = {one_token(model.tokenizer, text) for text in named}
    if at_eos:
        own: int | list[int] | None = getattr(model.hf.generation_config, "eos_token_id", None)
        of_tokenizer: int | None = model.tokenizer.eos_token_id
        chat = Chat.of(model.tokenizer, chat_template)
        ends = {of_tokenizer} if own is None else {*own} if isinstance(own, list) else {own}
        ends |= set() if chat is None else {of_tokenizer, chat.end_of_turn()}
        found |= {int(token) for token in ends if token is not None}
    return tuple(sorted(found))


def choose(
    logits: Tensor,
    texts: Sequence[tuple[int, int]],
    noise: Mapping[tuple[int, int], np.random.Generator],
    sampling: Sampling,
) -> list[int]:
    """The next token of each row.

    ``texts``: (prompt, sample) of each row of ``logits`` [B, V]; rows of one text draw the same numbers from ``noise``.
    """
    if sampling.greedy:
        return logits.argmax(dim=-1).tolist()
    scores = kept(logits / sampling.temperature, sampling.top_p)
    # Every (prompt, sample) draws at every step at which any of its arms is still writing, whichever those are.
    drawn: dict[tuple[int, int], Tensor] = {}
    for text in texts:
        if text not in drawn:
            exponential = noise[text].standard_exponential(logits.shape[-1], dtype=np.float32)
            drawn[text] = -torch.from_numpy(exponential).log()
    gumbel = torch.stack([drawn[text] for text in texts]).to(logits.device)
    return (scores + gumbel).argmax(dim=-1).tolist()


def kept(logits: Tensor, top_p: float) -> Tensor:
    """Log-probabilities, -inf outside the smallest set of most probable tokens that holds ``top_p`` of the mass.

    Of equally probable ones at its edge those with the lowest ids are in it. All tokens are put in order only where the
    most probable ``_FIRST_ORDERED`` do not hold enough.
    """
    scores = logits.log_softmax(dim=-1)
    if top_p >= 1:
        return scores
    ordered = scores.topk(min(_FIRST_ORDERED, scores.shape[-1]), dim=-1).values
    before = ordered.exp().cumsum(dim=-1) - ordered.exp()
    if bool((before[:, -1] < top_p).any()):
        ordered = scores.sort(dim=-1, descending=True).values
        before = ordered.exp().cumsum(dim=-1) - ordered.exp()
    n_kept = (before < top_p).sum(dim=-1, keepdim=True)
    edge = ordered.gather(-1, n_kept - 1)
    above, at_edge = scores > edge, scores == edge
    room = n_kept - above.sum(dim=-1, keepdim=True)
    return scores.masked_fill(~(above | (at_edge & (at_edge.cumsum(dim=-1) <= room))), -torch.inf)
