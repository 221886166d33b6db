"""From logits to a token: greedy, temperature, top-k, top-p (chapter 06)."""

import torch
from torch import Tensor

from memformer_lite.doors import check_sampling, check_top_k, check_top_p
from memformer_lite.validation import check_features, checked, unchecked


def top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the `k` largest logits of each row and set the others to -inf.

    Args:
        logits: (b, v), floating.
        k: from 1 to v; ties are broken so that exactly `k` remain.

    Source:
        Fan et al. 2018. The reference's function of this name takes a share and can keep none.
    """
    if unchecked():
        check_features("logits", logits, (None, None))
        check_top_k(k, logits.shape[-1])
    values, indices = logits.topk(k, dim=-1)
    return torch.full_like(logits, float("-inf")).scatter(-1, indices, values)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the fewest most likely tokens whose probabilities sum to at least `p`.

    Args:
        logits: (b, v), floating.
        p: in (0, 1]; the most likely token always stays, and 1 keeps all.

    Source:
        Holtzman et al. 2020. The reference's function of this name compares with 1 - p.
    """
    if unchecked():
        check_features("logits", logits, (None, None))
        check_top_p(p)
    if p == 1:
        return logits.clone()  # a sum of rounded probabilities may reach 1 too early
    ordered, indices = logits.sort(dim=-1, descending=True)
    probabilities = ordered.double().softmax(dim=-1)
    before = probabilities.cumsum(dim=-1) - probabilities  # mass of all more likely tokens
    ordered = ordered.masked_fill(before >= p, float("-inf"))
    return torch.empty_like(logits).scatter(-1, indices, ordered)


def sample_token(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one token a row.

    Args:
        logits: (b, v), floating.
        temperature: divides the logits; 0 takes the most likely token (greedy).
        top_k: keep that many tokens before choosing.
        top_p: then keep the fewest tokens that hold that probability.
        generator: the source of randomness; None: torch's global one.

    Returns:
        Token ids, long (b,).
    """
    if unchecked():
        check_features("logits", logits, (None, None))
        check_sampling(logits.shape[-1], temperature=temperature, top_k=top_k, top_p=top_p)
    if temperature > 0:
        # The largest logit becomes 0, so that no temperature can overflow the others upwards.
        logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    with checked():
        if top_k is not None:
            logits = _keep_top_k(logits, top_k)
        if top_p is not None:
            logits = _keep_top_p(logits, top_p)
    if temperature == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=generator).squeeze(-1)


# The keywords of sample_token bear the functions' names.
_keep_top_k, _keep_top_p = top_k, top_p
