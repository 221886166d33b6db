"""Finding out what the slots of a memory hold, by asking them and by changing them (chapter 10).

They work with the memory of any Memformer, and with any tensor of shape (b, k, d).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from memformer_lite.validation import check_features, check_integer, check_tensor


def erase(mems: Tensor, slot: int) -> Tensor:
    """Return a memory with one slot set to 0.

    Args:
        mems: the memory, (b, k, d); it is not changed.
        slot: which one, from 0 to k - 1.

    Raises:
        TypeError, ValueError: `mems` is no memory, or `slot` none of its slots.

    Source:
        This book; the memory explorer's "erase" is the same.
    """
    return transplant(mems, torch.zeros_like(mems), slot)


def transplant(mems: Tensor, other: Tensor, slot: int) -> Tensor:
    """Return a memory with one slot of another memory.

    Args:
        mems: the memory that receives, (b, k, d); it is not changed.
        other: the memory that gives, (b, k, d).
        slot: which one, from 0 to k - 1.

    Raises:
        TypeError, ValueError: the two are no memories of one shape, or `slot` none of their slots.

    Source:
        This book. Activations are exchanged in this way in Geiger et al. 2021.
    """
    check_features("mems", mems, (None, None, None))
    check_features("other", other, tuple(mems.shape), like=mems)
    check_integer("slot", slot, at_least=0)
    if slot >= mems.shape[1]:
        raise ValueError(f"slot={slot}: expected less than {mems.shape[1]}, the number of slots")
    return torch.cat((mems[:, :slot], other[:, slot : slot + 1], mems[:, slot + 1 :]), dim=1)


def fit_probe(slots: Tensor, labels: Tensor, *, classes: int) -> Tensor:
    """Return the linear probe that guesses `labels` from `slots` with the least squared error.

    Args:
        slots: one slot of many rows, (b, d). Take many more rows than d, and test on others.
        labels: what each row should give, long (b,), from 0 to `classes` - 1.
        classes: number of different labels, at least 2.

    Returns:
        A map (d + 1, classes) from a slot, with a 1 behind its numbers, to a score for each label.

    Raises:
        TypeError, ValueError: an argument of another type, shape or range.

    Source:
        Linear probes: Alain and Bengio 2016; they fit by logistic regression, this by least
        squares to 0 and 1.
    """
    check_features("slots", slots, (None, None))
    check_integer("classes", classes, at_least=2)
    check_tensor("labels", labels)
    if labels.dtype != torch.long:
        raise TypeError(f"labels: expected torch.long, got {labels.dtype}")
    if labels.shape != slots.shape[:1]:
        raise ValueError(f"labels: expected shape ({len(slots)},), got {tuple(labels.shape)}")
    if labels.min() < 0 or labels.max() >= classes:
        wrong = int(labels.min() if labels.min() < 0 else labels.max())
        raise ValueError(f"labels: expected 0 to {classes - 1}, got {wrong}")
    # In float64: some directions of a slot hardly vary, and float32 would fit its own rounding.
    rows = F.pad(slots.double(), (0, 1), value=1.0)
    wanted = F.one_hot(labels, classes).double()
    # And not by lstsq, whose default goes wrong where many numbers of a slot are always 0.
    return (torch.linalg.pinv(rows) @ wanted).to(slots.dtype)


def use_probe(probe: Tensor, slots: Tensor) -> Tensor:
    """Return the labels that a probe guesses.

    Args:
        probe: what `fit_probe` returned, (d + 1, classes).
        slots: one slot of many rows, (b, d).

    Returns:
        Labels, long (b,).

    Raises:
        TypeError, ValueError: an argument of another type or shape.
    """
    check_features("slots", slots, (None, None))
    check_features("probe", probe, (slots.shape[1] + 1, None), like=slots)
    return (slots @ probe[:-1] + probe[-1]).argmax(dim=-1)
