"""The attention explorer's arithmetic in Chromium against the package's Attention, on a grid."""

import itertools
import math

import pytest
import torch
from torch import nn
from widget_pages import compute

from memformer_lite.attention import Attention
from memformer_lite.widgets import AttentionExplorer

N, K, HEADS = 5, 2, 3
REAL = [True, False, True, True, False]
CLOSED = [[], ["0,0", "2,5", "3,1"], [f"2,{column}" for column in range(N + K)]]
GRID = [
    {
        "keys": keys,
        "causal": causal,
        "queryMask": query,
        "kvMask": kv,
        "closed": closed,
        "head": head,
    }
    for keys, causal, query, kv, closed, head in itertools.product(
        ("tokens", "slots", "both"),
        *[(False, True)] * 3,
        CLOSED,
        range(HEADS),
    )
]


def rows():
    torch.manual_seed(0)
    attention = Attention(12, heads=HEADS).double()
    return attention, torch.randn(1, N, 12).double(), torch.randn(1, K, 12).double()


@pytest.fixture(scope="module")
def explorer():
    attention, x, context = rows()
    return AttentionExplorer(
        attention,
        x,
        context=context,
        tokens=["A3", "–", "B1", "A?", "–"],
        slots=["s1", "s2"],
        real=torch.tensor([REAL]),
    )


@pytest.fixture(scope="module")
def tab(bench):
    with bench.tab(bench.write()) as tab:
        yield tab


def found(tab, explorer, settings, blind="zero"):
    body = """return argument[1].map((settings) => {
      const { columns, allowed, weights, answers } = m.attend(argument[0], settings);
      return { columns, allowed, answers, weights: weights.map((row) => row.map(String)) };
    });"""
    data = explorer.data
    settings = [{**one, "blind": blind} for one in settings]
    return compute(tab, explorer, body, [data, settings])


def package_says(settings):
    """Weights and answers of one head, from the package's own Attention and its own masks."""
    attention, x, context = rows()
    attention.to_out = nn.Identity()
    masks = {"query_mask": torch.tensor([REAL])} if settings["queryMask"] else {}
    real = torch.tensor([REAL]) if settings["kvMask"] else torch.ones(1, N, dtype=torch.bool)
    slots = torch.ones(1, K, dtype=torch.bool)
    own = {
        "tokens": {"kv_mask": real},
        "slots": {"context": context, "kv_mask": slots},
        "both": {
            "context": context,
            "kv_mask": torch.cat((real, slots), dim=1),
            "attend_self": True,
        },
    }[settings["keys"]]
    table = torch.ones(N, N + K, dtype=torch.bool)
    for pair in settings["closed"]:
        row, column = map(int, pair.split(","))
        table[row, column] = False
    if settings["causal"] and settings["keys"] == "tokens" and not settings["queryMask"]:
        attention.causal = True  # the package's own flag, where it can have it
    elif settings["causal"]:
        table[:, :N] &= torch.ones(N, N, dtype=torch.bool).tril()
    part = {"tokens": slice(0, N), "slots": slice(N, None), "both": slice(0, None)}
    table = table[:, part[settings["keys"]]]
    inputs = {**masks, **own, "mask": table[None]}

    def identity(project, source):  # with the identity as values, answers are weights
        keys, _ = project(source)
        eye = torch.eye(keys.shape[2], dtype=keys.dtype)
        return keys, eye.expand(*keys.shape[:3], keys.shape[2])

    head = settings["head"]
    answers = attention(x, **inputs)[0].view(N, HEADS, -1)[:, head]
    weights = attention(x, **inputs, cache=identity)[0].view(N, HEADS, -1)[:, head]
    return weights, answers


def test_weights_and_answers_equal_the_packages(tab, explorer):
    """Every mask on and off, every source of keys, every head; blind rows get zeros."""
    blind_rows = 0
    for settings, got in zip(GRID, found(tab, explorer, GRID), strict=True):
        weights, answers = package_says(settings)
        mine = torch.tensor([[float(w) for w in row] for row in got["weights"]]).double()
        torch.testing.assert_close(mine, weights.float().double(), rtol=0, atol=1e-6)
        mine = torch.tensor(got["answers"], dtype=torch.float64)
        torch.testing.assert_close(mine, answers, rtol=0, atol=1e-9)
        blind = [not any(row) for row in got["allowed"]]
        assert [weights[row].sum().item() == 0 for row in range(N)] == blind
        blind_rows += sum(blind)
    assert blind_rows > 100


@pytest.mark.parametrize("blind", ["even", "nan"])
def test_other_rules_change_blind_rows_only(tab, explorer, blind):
    lowest = -torch.finfo(torch.float64).max  # the reference's filling; plain softmax: minus inf
    filling = lowest if blind == "even" else -math.inf
    scores = torch.tensor(explorer.data["scores"], dtype=torch.float64)
    for settings, got in zip(GRID, found(tab, explorer, GRID, blind), strict=True):
        allowed = torch.tensor(got["allowed"])
        own = scores[settings["head"]][:, got["columns"]]
        wanted = own.masked_fill(~allowed, filling).softmax(dim=-1)
        mine = torch.tensor([[float(w.lower()) for w in row] for row in got["weights"]])
        torch.testing.assert_close(mine.double(), wanted, rtol=0, atol=1e-6, equal_nan=True)


def test_data_are_the_attentions_own_scores_and_values(explorer):
    attention, x, context = rows()
    source = torch.cat((x, context), dim=1)
    queries = attention.to_q(x).view(N, HEADS, 4)
    keys, values = attention.to_kv(source).view(N + K, 2, HEADS, 4).unbind(1)
    data = explorer.data
    scores = torch.einsum("ihd,jhd->hij", queries, keys) / 2
    torch.testing.assert_close(torch.tensor(data["scores"]).double(), scores, rtol=0, atol=1e-6)
    values = values.transpose(0, 1)
    torch.testing.assert_close(torch.tensor(data["values"]).double(), values, rtol=0, atol=1e-6)
