"""Attention with one mask convention, and the small parts around it (chapter 03).

A mask is bool and True means "may look", as in `torch.nn.functional.scaled_dot_product_attention`
and opposite to `torch.nn.MultiheadAttention`.
"""

import functools
import operator
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memformer_lite.doors import check_looking, check_rows
from memformer_lite.validation import check_options, unchecked


class Residual(nn.Module):
    """Add a module's output to its input: `fn(x) + x`.

    Args:
        fn: any module that keeps the shape of its first argument.

    Source:
        The reference's class of the same name.
    """

    def __init__(self, fn: nn.Module):
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor, **inputs) -> Tensor:
        """Return `fn(x, **inputs) + x`, in the shape of `x`; `fn` refuses what it does not know."""
        return self.fn(x, **inputs) + x


class PreNorm(nn.Module):
    """Normalise the first argument before a module sees it: `fn(LayerNorm(x))`.

    Args:
        dim: width d of the last dimension of `x`.
        fn: the module to call.

    Source:
        The reference's class of the same name. Only `x` is normalised, never `context`.
    """

    def __init__(self, dim: int, fn: nn.Module):
        super().__init__()
        self.fn = fn
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, **inputs) -> Tensor:
        """Return `fn(norm(x), **inputs)`; `fn` refuses what it does not know."""
        return self.fn(self.norm(x), **inputs)


class FeedForward(nn.Module):
    """Two linear maps with a GELU between them, applied to each row alone.

    Args:
        dim: width d of input and output.
        mult: the hidden layer is `mult` times as wide as `dim`; at least 1.
        dropout: probability in [0, 1) with which an output is set to 0 in training.

    Source:
        The reference's class of the same name, which has no dropout.
    """

    def __init__(self, dim: int, mult: int = 4, dropout: float = 0.0):
        super().__init__()
        if unchecked():
            check_options(dim=dim, mult=mult, dropout=dropout)
        self.net = nn.Sequential(
            nn.Linear(dim, dim * mult),
            nn.GELU(),
            nn.Linear(dim * mult, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (…, d) to (…, d)."""
        return self.net(x)


class Attention(nn.Module):
    """Multi-head attention: each query row looks keys up and returns a weighted mean of values.

    Args:
        dim: width d, a multiple of `heads`.
        heads: number of heads h.
        causal: True lets a row look at itself and at earlier rows only. Not with a `context`.
        dropout: probability in [0, 1) with which a weight is set to 0 in training.

    Derivatives of derivatives need the attention that torch can differentiate twice: call the
    model under `torch.nn.attention.sdpa_kernel(SDPBackend.MATH)`. `torch.func` works as it is.

    Source:
        Vaswani et al. 2017, section 3.2; layout and names follow the reference's `Attention`.
        Where we differ: a row that may look at nothing gets zero weights (the reference spreads
        its weights over everything, padding included); `pos_bias` is a tensor; the reference's
        unused `rel_pos_emb` is gone; dropout is new.
    """

    def __init__(self, dim: int, *, heads: int = 8, causal: bool = False, dropout: float = 0.0):
        super().__init__()
        if unchecked():
            check_options(dim=dim, heads=heads, causal=causal, dropout=dropout)
        self.dim = dim
        self.heads = heads
        self.causal = causal
        self.dropout = dropout
        self.to_q = nn.Linear(dim, dim)
        self.to_kv = nn.Linear(dim, dim * 2)
        self.to_out = nn.Linear(dim, dim)

    def split_heads(self, x: Tensor) -> Tensor:
        """Turn (b, n, h·d) into (b, h, n, d)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def project(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of `source` (b, j, d), each (b, h, j, d / h)."""
        both = self.to_kv(source).view(*source.shape[:2], 2, self.heads, -1)
        return both.permute(2, 0, 3, 1, 4).unbind(0)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        *,
        pos_bias: Tensor | None = None,
        mask: Tensor | None = None,
        query_mask: Tensor | None = None,
        kv_mask: Tensor | None = None,
        attend_self: bool = False,
        cache: Callable | None = None,
    ) -> Tensor:
        """Let every row of `x` look at the keys that all given masks allow.

        Args:
            x: queries, (b, i, d).
            context: where keys and values come from, (b, j, d); None: from `x` itself.
            pos_bias: added to the scores, (1 or b, 1 or h, i, j).
            mask: who may look where, bool (b, i, j).
            query_mask: real query rows, bool (b, i); the others look at nothing. Without
                `context` and `kv_mask` it also says which keys are real.
            kv_mask: real keys, bool (b, j).
            attend_self: True puts the rows of `x` before those of `context`, so that
                j = i + the length of `context`.
            cache: called as `cache(project, source)` in place of `project(source)`; it may
                return keys and values from earlier calls. The queries are then the last rows.

        Returns:
            (b, i, d).

        Raises:
            ValueError: `causal` with a context, `attend_self` without one.
        """
        is_door = unchecked()
        if is_door:
            check_rows(self, x, context, attend_self)
        if context is None:
            source = x  # (b, j, d)
            kv_mask = query_mask if kv_mask is None else kv_mask
        else:
            source = torch.cat((x, context), dim=1) if attend_self else context
        queries = self.split_heads(self.to_q(x))  # (b, h, i, d / h)
        keys, values = self.project(source) if cache is None else cache(self.project, source)
        size = (x.shape[0], x.shape[1], keys.shape[2])
        if is_door:
            masks = {"mask": mask, "query_mask": query_mask, "kv_mask": kv_mask}
            check_looking(self, size, pos_bias=pos_bias, **masks)
        allowed = self._allowed(size, mask, query_mask, kv_mask, x.device)
        seeing = None
        if allowed is not None:
            # A row without any key would be nan: it looks at all, and its result is erased.
            seeing = allowed.any(dim=-1, keepdim=True)
            allowed = allowed | ~seeing
        bias = pos_bias if allowed is None else allowed
        if pos_bias is not None and allowed is not None:
            bias = pos_bias.masked_fill(~allowed, float("-inf"))
        attend: Callable = F.scaled_dot_product_attention
        dropout = self.dropout if self.training else 0.0
        # Not asked of `requires_grad`: torch.func hides there that gradients are wanted.
        if pos_bias is not None and (torch.is_grad_enabled() or dropout):
            attend = _attend_with_learned_bias
        out = attend(queries, keys, values, bias, dropout)  # (b, h, i, d / h)
        if seeing is not None:
            out = out.masked_fill(~seeing, 0.0)
        return self.to_out(out.transpose(1, 2).flatten(2))

    def _allowed(self, size, mask, query_mask, kv_mask, device) -> Tensor | None:
        """Join all masks to one that broadcasts to (b, h, i, j); None: everything is allowed."""
        _, i, j = size
        masks = []
        if self.causal and i > 1:
            masks.append(torch.ones(1, 1, i, j, dtype=torch.bool, device=device).tril(j - i))
        if mask is not None:
            masks.append(mask[:, None])
        if query_mask is not None:
            masks.append(query_mask[:, None, :, None])
        if kv_mask is not None:
            masks.append(kv_mask[:, None, None, :])
        if not masks:
            return None
        return functools.reduce(operator.and_, masks)


def _attend_with_learned_bias(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, dropout: float
) -> Tensor:
    """`scaled_dot_product_attention`, spelt out: torch's own is slower where a bias is learned.

    It then takes a general path that looks for rows without any key; here there are none. With
    dropout it is taken without gradients too: a replay then draws the same numbers on any device.
    """
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.mT + bias  # (b, h, i, j)
    return F.dropout(scores.softmax(dim=-1), dropout) @ values
