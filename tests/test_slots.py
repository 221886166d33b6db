"""Erasing, transplanting and probing do what they say, and refuse what is none of theirs."""

import pytest
import torch
import torch.nn.functional as F
from helpers import assert_close, randn, refused

from memformer_lite.inside.slots import erase, fit_probe, transplant, use_probe

MEMS, OTHER = randn(3, 7, 5, seed=1), randn(3, 7, 5, seed=2)
ROWS, CLASSES = randn(101, 5, seed=3), 11
LABELS = torch.randint(CLASSES, (101,), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("slot", [0, 3, 6])
def test_one_slot_is_changed_and_all_else_stays(slot):
    before = MEMS.clone()
    others = [k for k in range(7) if k != slot]
    for found, wanted in ((erase(MEMS, slot), 0 * MEMS), (transplant(MEMS, OTHER, slot), OTHER)):
        assert torch.equal(found[:, slot], wanted[:, slot])
        assert torch.equal(found[:, others], MEMS[:, others])
    assert torch.equal(MEMS, before)


def test_a_probe_has_the_least_squared_error():
    """At the best map the errors are orthogonal to all that it sees."""
    seen = torch.cat((ROWS, torch.ones(101, 1, dtype=torch.float64)), dim=1)
    wanted = F.one_hot(LABELS, CLASSES).double()
    errors = seen @ fit_probe(ROWS, LABELS, classes=CLASSES) - wanted
    assert_close(seen.T @ errors, torch.zeros(6, CLASSES, dtype=torch.float64), "errors", 1e-9)


def test_a_probe_finds_what_is_there_however_faint_and_needs_its_constant():
    slots = 1e-4 * F.one_hot(LABELS % 2, 5).double() + 1e3
    probe = fit_probe(slots, LABELS % 2, classes=2)
    assert torch.equal(use_probe(probe, slots), LABELS % 2)
    assert probe.shape == (6, 2) and probe.dtype == torch.float64


def test_a_probe_copes_with_numbers_that_never_vary():
    """Constant columns and unused ones: the least squares have many solutions."""
    for unused in (4, 30):
        slots = F.pad(F.pad(ROWS[:, :1].float(), (0, 2), value=2.0), (0, unused))
        probe = fit_probe(slots, (ROWS[:, 0] > 0).long(), classes=2)
        assert probe.isfinite().all() and probe.dtype == torch.float32
        assert (use_probe(probe, slots) == (ROWS[:, 0] > 0)).double().mean() > 0.9

    labels = torch.arange(512) % 5
    slots = F.pad(F.one_hot(labels, 5).double(), (0, 25))
    assert torch.equal(use_probe(fit_probe(slots, labels, classes=5), slots), labels)


def test_a_probe_guesses_the_largest_score():
    probe = torch.tensor(
        [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.5]]
    )  # the last is constant
    slots = torch.tensor([[1.0, 9.0], [-1.0, 9.0], [0.1, 9.0]])
    assert use_probe(probe, slots).tolist() == [0, 1, 2]


def test_wrong_arguments_are_named():
    refused(ValueError, lambda: erase(MEMS, 7), "slot", 7, "expected")
    refused(ValueError, lambda: erase(MEMS, -1), "slot", "expected")
    refused(TypeError, lambda: erase(MEMS, 1.0), "slot", "1.0", "expected")
    refused(TypeError, lambda: transplant(None, OTHER, 0), "mems", "expected")
    refused(ValueError, lambda: transplant(MEMS, OTHER[:2], 0), "other", "expected")
    refused(TypeError, lambda: transplant(MEMS, OTHER.float(), 0), "other", "expected")
    refused(ValueError, lambda: fit_probe(MEMS, LABELS, classes=11), "slots", "expected")
    refused(ValueError, lambda: fit_probe(ROWS, LABELS[:5], classes=11), "labels", "expected")
    refused(TypeError, lambda: fit_probe(ROWS, LABELS.double(), classes=11), "labels", "expected")
    refused(TypeError, lambda: fit_probe(ROWS, None, classes=11), "labels", "expected")
    refused(ValueError, lambda: fit_probe(ROWS, LABELS, classes=10), "labels", 10, "expected")
    refused(ValueError, lambda: fit_probe(ROWS, LABELS - 1, classes=11), "labels", "expected")
    refused(ValueError, lambda: fit_probe(ROWS, LABELS, classes=1), "classes", 1, "expected")
    refused(ValueError, lambda: use_probe(randn(5, 11), ROWS), "probe", "expected")
    refused(ValueError, lambda: use_probe(randn(6, 11), MEMS), "slots", "expected")
