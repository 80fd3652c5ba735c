"""A model, edited or not, as lm-evaluation-harness asks it: lm-eval's own Hugging Face backend around ``model.hf``.

Each kind of request (log-likelihoods, rolling ones, generated text) runs inside the edit, and nothing else is changed,
so that without an edit scores are those of lm-eval's plain backend; to the bit where it is given the same model object
(``load_model`` computes some activations in one step, which differs from the checkpoint's own by rounding).

Texts begin as lm-eval has them: with a BOS where the tokenizer puts one. headscope's own measurements put a BOS before
every text where the tokenizer has one at all, which for GPT-2 and others is not the same; figures that are to stand
beside published ones must not do so. ``bos`` makes both agree where that is wanted. Rolling log-likelihoods begin with
the BOS in any case, because lm-eval reads the first token after it.

This module needs lm-eval; ``benchmarks`` imports it where it is asked for.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from lm_eval.api.model import CacheHook
from lm_eval.models.huggingface import HFLM

from headscope.errors import RequestError, one_of
from headscope.measure.protocols import Progress
from headscope.models.head_model import HeadModel

BOS = ("auto", "always", "never")
_Backend: Any = HFLM  # a decorator takes its type away


class Edit(Protocol):
    """What ``HeadModel.edit`` takes."""

    def on(self, model: HeadModel) -> AbstractContextManager[HeadModel]:
        """The model edited inside the block."""
        ...


class EditedLM(_Backend):
    """lm-eval's ``LM`` of a headscope model; see the module."""

    def __init__(
        self,
        model: HeadModel,
        edits: Sequence[Edit] = (),
        *,
        batch_size: int = 8,
        bos: str = "auto",
    ) -> None:
        """Wrap ``model``; its tokenizer is copied, because lm-eval gives it a pad token.

        Args:
            model: the model.
            edits: entered around every request.
            batch_size: requests of one pass.
            bos: ``auto`` as lm-eval has it, ``always`` or ``never``.

        Raises:
            RequestError: an edit does not fit the model, there is no such ``bos``, or the tokenizer has no BOS and it
                is asked for.
        """
        tokenizer = copy.deepcopy(model.tokenizer)
        if one_of("bos", bos, BOS) == "always" and tokenizer.bos_token_id is None:
            raise RequestError(
                "a BOS token is asked for, but the tokenizer has none", expected="bos auto or never", got="bos always"
            )
        with model.edit(*edits):
            pass  # heads that do not exist and values that do not fit are known now
        own: Any = model.hf
        add_bos = False if bos == "never" else None
        super().__init__(pretrained=own, tokenizer=tokenizer, batch_size=batch_size, add_bos_token=add_bos)
        self.head_model, self.edits = model, tuple(edits)
        self._begins = str(tokenizer.bos_token) if bos == "always" else ""
        self._stage, self._progress, self._aloud = "", None, sys.stderr

    def tell(self, stage: str, progress: Progress | None) -> None:
        """From here on ``progress`` is told of each answer, on the standard error of now."""
        self._stage, self._progress, self._aloud = stage, progress, sys.stderr

    # --- requests, each under the edit -------------------------------------------------------------------------------

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """Log-likelihoods of continuations, and whether each is the greedy one."""
        return self._edited(requests, lambda: super(EditedLM, self).loglikelihood(requests, disable_tqdm=disable_tqdm))

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihoods of whole texts after a BOS."""
        begins, self._begins = self._begins, ""
        try:
            return self._edited(
                requests, lambda: super(EditedLM, self).loglikelihood_rolling(requests, disable_tqdm=disable_tqdm)
            )
        finally:
            self._begins = begins

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Texts up to what ends them."""
        return self._edited(requests, lambda: super(EditedLM, self).generate_until(requests, disable_tqdm=disable_tqdm))

    def _loglikelihood_tokens(self, requests: Any, disable_tqdm: bool = True, override_bs: int | None = None) -> Any:
        # A rolling request asks for a bar of its own for each batch.
        return super()._loglikelihood_tokens(requests, disable_tqdm=True, override_bs=override_bs)

    def _edited(self, requests: Sequence[Any], work: Callable[[], list[Any]]) -> list[Any]:
        hook = self.cache_hook
        if self._progress is not None:
            self.cache_hook = _Counting(hook, self._stage, len(requests), self._progress)
        try:
            with contextlib.redirect_stderr(self._aloud), self.head_model.edit(*self.edits):
                return work()
        finally:
            self.cache_hook = hook

    # --- how texts begin ---------------------------------------------------------------------------------------------

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """The ids of a text; ``add_special_tokens=False`` is of a text that goes on."""
        begun = string if add_special_tokens is False else self._begun(string)
        return super().tok_encode(begun, add_special_tokens, left_truncate_len, **kwargs)

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The padded ids of several texts, and which are no padding."""
        return super().tok_batch_encode(list(map(self._begun, strings)), padding_side, left_truncate_len, truncation)

    def _begun(self, string: str) -> str:
        """lm-eval adds no BOS to a text that begins with one, and tokenizers read it as one token."""
        return string if string.startswith(self._begins) else self._begins + string


class _Counting(CacheHook):
    """lm-eval tells its cache of each answer; so it is known how many there are."""

    def __init__(self, below: CacheHook, stage: str, n_requests: int, progress: Progress) -> None:
        super().__init__(None)
        self._below, self._stage, self._n_requests, self._progress = below, stage, n_requests, progress
        self._n_done = 0
        progress(stage, 0, n_requests)

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        """One more request is answered."""
        self._below.add_partial(attr, req, res)
        self._n_done += 1
        self._progress(self._stage, self._n_done, self._n_requests)
