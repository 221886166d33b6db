"""Attention explorer (chapters 03 and 04): a small attention's weights under any masks."""

import torch
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from torch import Tensor

from memformer_lite.attention import Attention
from memformer_lite.figures import INK, NEUTRAL, SLOTS, TOKENS, Picture, canvas, picture
from memformer_lite.validation import check_features, check_mask
from memformer_lite.widgets.base import Widget

MOST_KEYS = 8  # tokens and slots together: more do not fit on a narrow screen
MOST_HEADS = 4
LONGEST_NAME = 4  # characters
KEYS = ("tokens", "slots", "both")


class AttentionExplorer(Widget):
    """Switch masks on and off; see each head's weights, and what a row gets that sees nothing.

    Args:
        attention: at most 4 heads; its own numbers are shown, nothing is trained.
        x: the tokens, which ask, (1, n, d).
        context: the memory slots, which answer too, (1, k, d); n + k is at most 8.
        tokens: a name for each token, at most 4 characters.
        slots: a name for each slot, at most 4 characters.
        real: which tokens are real, not padding, bool (1, n); None: all.
        keys: what is looked at at the start: "tokens", "slots" or "both".

    Raises:
        TypeError: an argument is not of its type.
        ValueError: a wrong shape, more keys or heads than can be shown, or numbers not finite.
    """

    name = "attention_explorer"

    def __init__(
        self,
        attention: Attention,
        x: Tensor,
        *,
        context: Tensor | None = None,
        tokens: list[str],
        slots: list[str] | None = None,
        real: Tensor | None = None,
        keys: str = "tokens",
    ):
        if not isinstance(attention, Attention):
            raise TypeError(f"attention: expected an Attention, got {type(attention).__name__}")
        if attention.heads > MOST_HEADS:
            raise ValueError(
                f"attention: expected at most {MOST_HEADS} heads, got {attention.heads}"
            )
        weight = attention.to_q.weight
        check_features("x", x, (1, None, attention.dim), like=weight)
        n, k = x.shape[1], 0
        if context is not None:
            check_features("context", context, (1, None, attention.dim), like=weight)
            k = context.shape[1]
        if n < 1 or n + k > MOST_KEYS:
            raise ValueError(
                f"x, context: expected 1 to {MOST_KEYS} tokens and slots together, got {n} + {k}: "
                "too many to show"
            )
        check_mask("real", real, (1, n))
        _check_names("tokens", tokens, n)
        _check_names("slots", slots or [], k)
        if keys not in KEYS or (keys != "tokens" and k == 0):
            among = KEYS if k else KEYS[:1]
            raise ValueError(f"keys={keys!r}: expected {' or '.join(map(repr, among))}")
        scores, values = _scores_and_values(attention, x, context)
        if not (scores.isfinite().all() and values.isfinite().all()):
            raise ValueError("attention, x, context: expected finite numbers in all of them")
        data = {
            "tokens": list(tokens),
            "slots": list(slots or []),
            "real": [True] * n if real is None else real[0].tolist(),
            "scores": scores.tolist(),
            "values": values.tolist(),
            "causal": attention.causal,
            "keys": keys,
        }
        super().__init__(data=data, twin=_twin(data))

    @classmethod
    def example(cls) -> "AttentionExplorer":
        """Return the explorer of a page of cards, of tokens and slots."""
        return cls.of_cards(keys="both")

    @classmethod
    def of_cards(cls, *, keys: str = "tokens") -> "AttentionExplorer":
        """Return the explorer of a page of cards, with an attention whose weights are set by hand.

        Head 1 looks for notes about its own box, head 2 for any note. The page is `C? A3 B1 A? –`,
        the last token is padding, and the memory holds C6 and D2.
        """
        tokens, slots = ["C?", "A3", "B1", "A?", "–"], ["C6", "D2"]
        attention, rows = _cards([*tokens, *slots])
        n = len(tokens)
        return cls(
            attention,
            rows[:, :n],
            context=rows[:, n:],
            tokens=tokens,
            slots=slots,
            real=torch.tensor([[name != "–" for name in tokens]]),
            keys=keys,
        )


def _check_names(name: str, names: list[str], count: int) -> None:
    """Raise unless there is one short name for each row."""
    if not isinstance(names, list) or not all(isinstance(given, str) for given in names):
        raise TypeError(f"{name}: expected a list of names, got {names!r}")
    if len(names) != count:
        raise ValueError(f"{name}: expected {count} names, got {len(names)}")
    for given in names:
        if not 1 <= len(given) <= LONGEST_NAME:
            raise ValueError(f"{name}: expected 1 to {LONGEST_NAME} characters, got {given!r}")


@torch.no_grad()
def _scores_and_values(
    attention: Attention, x: Tensor, context: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return scores before any mask, (h, n, n + k), and values, (h, n + k, d / h)."""
    source = x if context is None else torch.cat((x, context), dim=1)
    queries = attention.split_heads(attention.to_q(x))  # (1, h, n, d / h)
    keys, values = attention.project(source)  # (1, h, n + k, d / h)
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5
    return scores[0].double(), values[0].double()


@torch.no_grad()
def _cards(names: list[str]) -> tuple[Attention, Tensor]:
    """Return an attention that knows boxes, and a row for each name, (1, j, 12).

    A row holds: the box a note is about (4 places), the box asked for (4), the value, whether it
    is a note, 1, and a place that stays empty.
    """
    rows = torch.zeros(1, len(names), 12)
    rows[..., 10] = 1
    for row, name in zip(rows[0], names, strict=True):
        if name != "–":
            asks = name[1] == "?"
            row["ABCD".index(name[0]) + 4 * asks] = 1
            row[8], row[9] = (0, 0) if asks else (int(name[1]), 1)
    attention = Attention(12, heads=2)
    for linear in (attention.to_q, attention.to_kv, attention.to_out):
        linear.weight.zero_()
        linear.bias.zero_()
    box = torch.arange(4)
    query, (key, value) = attention.to_q.weight, attention.to_kv.weight.chunk(2)
    query[box, box] = query[box, box + 4] = 10  # head 1 asks for the row's box …
    key[box, box] = 1  # … among the notes
    query[6, 10], key[6, 9] = 6, 1  # head 2 asks for any note
    for first in (0, 6):  # both answer with the value and the box
        value[first, 8] = 1
        value[first + 1 + box, box] = 1
    attention.to_out.weight.copy_(torch.eye(12))
    attention.to_out.bias.fill_(0.1)
    return attention, rows


def _twin(data: dict) -> Picture:
    """Draw the weights of every head as the explorer starts: padding masked, blind rows zero."""
    n, k = len(data["tokens"]), len(data["slots"])
    shown = {"tokens": slice(n), "slots": slice(n, None), "both": slice(None)}[data["keys"]]
    names = [*data["tokens"], *data["slots"]][shown]
    kinds = ([TOKENS] * n + [SLOTS] * k)[shown]
    real = torch.tensor(data["real"])
    allowed = real[:, None] & torch.cat((real, torch.ones(k, dtype=torch.bool)))
    if data["causal"]:
        allowed[:, :n] &= torch.ones(n, n, dtype=torch.bool).tril()
    allowed = allowed[:, shown]
    scores = torch.tensor(data["scores"], dtype=torch.float64)[..., shown]  # (h, n, j)
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(-1).nan_to_num(0.0)
    heads = len(weights)
    figure, panels = canvas(
        min(7.0, 0.9 + heads * (0.9 + 0.42 * len(names))),
        0.9 + 0.42 * n,
        columns=heads,
        squeeze=False,
    )
    words = []
    for number, (axes, table) in enumerate(zip(panels[0], weights.tolist(), strict=True), 1):
        for i, row in enumerate(table):
            for j, weight in enumerate(row):
                fill = to_rgba(kinds[j], 0.08 + 0.52 * weight) if allowed[i, j] else "none"
                edge = "none" if allowed[i, j] else NEUTRAL
                corner = (j - 0.46, i - 0.46)
                axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=fill, edgecolor=edge))
                said = f"{weight:.2f}" if allowed[i, j] else "×"
                axes.text(j, i, said, ha="center", va="center", color=INK, fontsize=9)
            seen = ", ".join(f"{names[j]} {row[j]:.2f}" for j in range(len(row)) if allowed[i, j])
            words.append(f"head {number}, {data['tokens'][i]}: {seen or 'nothing'}")
        axes.set(xlim=(-0.5, len(names) - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(n), data["tokens"])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(f"head {number}")
    return picture(
        figure,
        "Tables of attention weights, a row for each token that asks and a column for each key; "
        f"a cross marks what a mask closes. {'; '.join(words)}.",
    )
