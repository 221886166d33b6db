"""Exercises of chapter 03: attention."""

import math

import torch
import torch.nn.functional as F

from memformer_lite.lab.exercise import Draw, Exercise, Question

# 3.1 Which mask made this picture?


def ask_3_1(draw: Draw) -> list[Question]:
    # The picture has 6 places in P and Q, and 2 slots with 4 tokens in R.
    sizes = [(6, 4, 2), (4, 2, 2), (1, 1, 1), (2, 1, 3), (5, 1, 4)]
    n = draw.random.choice((7, 11))
    sizes.append((n, draw.random.randrange(2, n), draw.random.choice((1, 3, 5))))
    return [{"n": n, "cut": cut, "slots": slots} for n, cut, slots in sizes]


def use_3_1(three_masks, question):
    import torch

    masks = three_masks(question["n"], question["cut"], question["slots"])
    if isinstance(masks, (tuple, list)) and len(masks) == 3:
        masks = dict(zip("PQR", masks, strict=True))
    if not isinstance(masks, dict):
        return masks
    there = {name: mask for name, mask in masks.items() if mask is not None and mask is not ...}
    if not there:
        return None
    there = {name: torch.as_tensor(mask) for name, mask in there.items()}
    bools = all(mask.dtype == torch.bool for mask in there.values())
    for name, mask in there.items():  # one batch, one head
        while mask.dim() > 2 and len(mask) == 1:
            mask = mask[0]
        there[name] = mask
    return there | {"dtype": "bool" if bools else "not bool"}


def three_masks(n, cut, slots):
    place = torch.arange(n)
    distance = place[:, None] - place[None, :]
    second = place >= cut
    tokens = (place < n - 1).expand(slots, n)
    return {
        "P": (distance >= 0) & (distance <= 2),
        "Q": (distance >= 0) & (second[:, None] == second[None, :]),
        "R": torch.cat((torch.eye(slots, dtype=torch.bool), tokens), dim=1),
    }


def by_triangles(n, cut, slots):
    causal = torch.ones(n, n, dtype=torch.bool).tril()
    texts = causal.clone()
    texts[cut:, :cut] = False
    writing = torch.ones(slots, slots + n, dtype=torch.bool)
    writing[:, :slots] = torch.eye(slots)
    writing[:, -1] = False
    return {"P": causal.triu(-2), "Q": texts, "R": writing}


def by_loops(n, cut, slots):
    def table(rows, columns, rule):
        return torch.tensor([[rule(i, j) for j in range(columns)] for i in range(rows)])

    return {
        "P": table(n, n, lambda i, j: i - 2 <= j <= i),
        "Q": table(n, n, lambda i, j: j <= i and (j >= cut or i < cut)),
        "R": table(slots, slots + n, lambda i, j: i == j or slots <= j < slots + n - 1),
    }


def _changed(change):
    """All three right masks, changed alike."""
    return lambda n, cut, slots: {
        name: change(mask) for name, mask in three_masks(n, cut, slots).items()
    }


def _window(rule):
    """P by another rule on the distance from the key to the query."""

    def masks(n, cut, slots):
        place = torch.arange(n)
        return {"P": rule(place[:, None] - place[None, :])}

    return masks


def _texts(rule):
    """Q by another rule on query, key and the place where the second text begins."""

    def masks(n, cut, slots):
        place = torch.arange(n)
        return {"Q": rule(place[:, None], place[None, :], cut)}

    return masks


def _slots(rule):
    """R by another rule on query, key, the slots and the tokens."""

    def masks(n, cut, slots):
        query, key = torch.arange(slots)[:, None], torch.arange(slots + n)[None, :]
        return {"R": rule(query, key, slots, n)}

    return masks


def _picture(n, cut, slots):
    seen = three_masks(6, 4, 2)
    return seen | {"R": three_masks(4, 2, 2)["R"]}


WHICH_MASK = Exercise(
    id="3.1",
    kind="build",
    points=3,
    minutes=15,
    name="three_masks",
    ask=ask_3_1,
    use=use_3_1,
    right=three_masks,
    also_right=(by_triangles, by_loops),
    misconceptions={
        "Opposite: True must mean may look. Your table is right for nn.MultiheadAttention.": (
            _changed(torch.logical_not)
        ),
        "These are the tables of the picture, whatever size is asked for. What is the rule behind "
        "them, for any n?": _picture,
        "The tables are right, and they are not bool. Numbers can be added to the scores by "
        "mistake; a mask says yes or no.": _changed(torch.Tensor.double),
        "P: rows and columns are swapped: a row of the table is a query, a column a key.": _window(
            lambda distance: (distance <= 0) & (distance >= -2)
        ),
        "P: a row sees not all earlier rows. Count the filled squares in rows 4 to 6.": _window(
            lambda distance: distance >= 0
        ),
        "P: your rows see rows that come later. How far a key is away is not enough: it must lie "
        "behind the query.": _window(lambda distance: distance.abs() <= 2),
        "P: two rows before it, and itself: that makes three, and yours sees two.": _window(
            lambda distance: (distance >= 0) & (distance < 2)
        ),
        "P: two rows before it, and itself: that makes three, and yours sees four.": _window(
            lambda distance: (distance >= 0) & (distance <= 3)
        ),
        "P: a row sees itself too; look at the diagonal.": _window(
            lambda distance: (distance > 0) & (distance <= 2)
        ),
        "Q: the two texts are apart, and a row sees later rows of its own text. In the picture "
        "nobody sees the future.": _texts(lambda i, j, cut: (i >= cut) == (j >= cut)),
        "Q: nobody sees the future, and the second text still sees the first. Look at row 5 of "
        "the picture.": _texts(lambda i, j, cut: j <= i),
        'Q: the two rules are joined with "or": then one of them is enough. Whoever gives '
        'several masks means "and".': _texts(
            lambda i, j, cut: (j <= i) | ((i >= cut) == (j >= cut))
        ),
        "Q: the second text begins one place too late: the row at place `cut` belongs to "
        "it.": _texts(lambda i, j, cut: (j <= i) & ((i > cut) == (j > cut))),
        "Q: the second text begins one place too early: places are counted from 0.": _texts(
            lambda i, j, cut: (j <= i) & ((i >= cut - 1) == (j >= cut - 1))
        ),
        "Q: the second text begins at place 4 whatever `cut` is.": _texts(
            lambda i, j, cut: (j <= i) & ((i >= 4) == (j >= 4))
        ),
        "Q: the first text alone is right: the rows of the second see nothing.": _texts(
            lambda i, j, cut: (j <= i) & (i < cut)
        ),
        "R: the slots see the last token, and in the picture nobody does: it is padding.": _slots(
            lambda i, j, slots, n: (i == j) | (j >= slots)
        ),
        "R: column 6 is empty since it is the last one: with other numbers of slots and tokens "
        "the last column is another.": _slots(
            lambda i, j, slots, n: ((i == j) | (j >= slots)) & (j != 5)
        ),
        "R: your slots see each other. Each sees itself and the tokens.": _slots(
            lambda i, j, slots, n: j < slots + n - 1 + 0 * i
        ),
        "R: a slot sees itself too: among the slots the diagonal is filled.": _slots(
            lambda i, j, slots, n: (j >= slots) & (j < slots + n - 1 + 0 * i)
        ),
        "R: a slot sees the slots before it, as in a causal mask. In the picture it sees no "
        "other slot.": _slots(
            lambda i, j, slots, n: ((j <= i) | (j >= slots)) & (j < slots + n - 1)
        ),
        "R: the tokens are missing: the keys are the slots and, after them, the tokens.": _slots(
            lambda i, j, slots, n: (i == j)[:, :slots]
        ),
        "R: the columns are the other way round: the keys are first the slots, then the "
        "tokens.": _slots(lambda i, j, slots, n: (j < n - 1) | (j - n == i)),
    },
    tried="Three masks in six sizes, among them one token, one slot and the sizes of the picture.",
)

# 3.2 A dictionary that can say no


def ask_3_2(draw: Draw) -> list[Question]:
    def page(b, h, i, j, d, *mask):
        rows = {"queries": i, "keys": j, "values": j}
        parts = {name: draw.normal(b, h, count, d) for name, count in rows.items()}
        allowed = draw.whole(0, 3, *mask, i, j) > 0
        allowed[..., 0, 0], allowed[..., i - 1, :] = True, False  # one row sees, one does not
        return {"gradients": False, **parts, "allowed": allowed}

    key, value = torch.tensor([[2, 0], [0, 2], [1, -2]]), torch.tensor([[3, 1], [1, 2], [6, 3]])
    cards = page(1, 1, 3, 3, 2)
    cards["keys"], cards["values"] = key.double()[None, None], value.double()[None, None]
    one = page(1, 2, 1, 1, 3)
    one["allowed"] = torch.ones(1, 1, dtype=torch.bool)
    closed = page(1, 1, 2, 1, draw.random.choice((1, 4, 5)), 1, 1)
    wide = page(2, 3, 4, 5, 7, 2, 1) | {"gradients": True}
    return [cards, wide, one, closed]


def use_3_2(attend_or_nothing, question):
    from memformer_lite.lab.using import with_gradients

    given = [question[name] for name in ("queries", "keys", "values", "allowed")]
    if question["gradients"]:
        return with_gradients(attend_or_nothing, *given)
    return attend_or_nothing(*given)


def attend_or_nothing(queries, keys, values, allowed):
    scale = queries.shape[-1] ** -0.5
    scores = torch.einsum("bhid,bhjd->bhij", queries, keys) * scale
    scores = scores.masked_fill(~allowed, -torch.inf)
    nothing = torch.zeros_like(scores[..., :1])
    weights = torch.cat((nothing, scores), dim=-1).softmax(dim=-1)[..., 1:]
    return torch.einsum("bhij,bhjd->bhid", weights, values)


def by_a_key_of_zeros(queries, keys, values, allowed):
    """A key of zeros has score 0 with every query."""
    keys, values = (torch.cat((torch.zeros_like(x[..., :1, :]), x), dim=-2) for x in (keys, values))
    return F.scaled_dot_product_attention(queries, keys, values, F.pad(allowed, (1, 0), value=True))


def by_shares(queries, keys, values, allowed):
    grown = (queries @ keys.mT / math.sqrt(queries.size(-1))).exp() * allowed
    return grown @ values / (1 + grown.sum(dim=-1, keepdim=True))


def by_a_low_number(queries, keys, values, allowed):
    """A very low score is as good as minus infinity, as long as something else has a share."""
    scores = torch.where(allowed, queries @ keys.mT / queries.shape[-1] ** 0.5, -1e9)
    weights = torch.cat((scores, scores.new_zeros(*scores.shape[:-1], 1)), -1).softmax(-1)
    return weights[..., :-1] @ values


def _or_nothing(weigh, scale=0.5, mask=True, mean=True):
    """Attention with another way from the scores to the weights."""

    def attend(queries, keys, values, allowed):
        scores = queries @ keys.mT / queries.shape[-1] ** scale
        if mask:
            scores = scores.masked_fill(~allowed, -torch.inf)
        weights = weigh(scores, allowed)
        return weights @ values if mean else weights

    return attend


def _with_nothing(scores, allowed, score=0.0):
    """Weights of the real keys, where "nothing" has a score."""
    nothing = torch.full_like(scores[..., :1], score)
    return torch.cat((nothing, scores), dim=-1).softmax(dim=-1)[..., 1:]


def _all_the_same(scores, allowed):
    """The chapter's `attend`: zero weights where nothing may be seen."""
    seeing = allowed.any(dim=-1, keepdim=True)
    return scores.masked_fill(~seeing, 0.0).softmax(dim=-1) * seeing


def _closed_too(scores, allowed):
    nothing = torch.zeros_like(scores[..., :1])
    nothing = nothing.masked_fill(~allowed.any(dim=-1, keepdim=True), -torch.inf)
    return torch.cat((nothing, scores), dim=-1).softmax(dim=-1)[..., 1:]


def _wrong_column(scores, allowed):
    nothing = torch.zeros_like(scores[..., :1])
    return torch.cat((nothing, scores), dim=-1).softmax(dim=-1)[..., :-1]


def _over_queries(scores, allowed):
    nothing = torch.zeros_like(scores[..., :1, :])
    return torch.cat((nothing, scores), dim=-2).softmax(dim=-2)[..., 1:, :]


def _largest_taken_off(scores, allowed):
    grown = (scores - scores.amax(dim=-1, keepdim=True)).exp()
    return grown / (1 + grown.sum(dim=-1, keepdim=True))


def _fixed_width(queries, keys, values, allowed):
    return attend_or_nothing(queries * (queries.shape[-1] / 2) ** 0.5, keys, values, allowed)


def _width_of_all_heads(queries, keys, values, allowed):
    return attend_or_nothing(queries / queries.shape[1] ** 0.5, keys, values, allowed)


def _nothing_is_the_mean(queries, keys, values, allowed):
    keys = torch.cat((torch.zeros_like(keys[..., :1, :]), keys), dim=-2)
    values = torch.cat((values.mean(dim=-2, keepdim=True), values), dim=-2)
    return F.scaled_dot_product_attention(queries, keys, values, F.pad(allowed, (1, 0), value=True))


DICTIONARY_THAT_SAYS_NO = Exercise(
    id="3.2",
    kind="build",
    points=4,
    minutes=20,
    name="attend_or_nothing",
    ask=ask_3_2,
    use=use_3_2,
    right=attend_or_nothing,
    also_right=(by_a_key_of_zeros, by_shares, by_a_low_number),
    misconceptions={
        'The real weights still add up to one: "nothing" is not in the softmax. It must take its '
        "share, e to the 0, before the division.": _or_nothing(_all_the_same),
        "The real weights still add up to one, and a row that may look at nothing gets nan: "
        '"nothing" is masked, or it is not in the softmax.': _or_nothing(
            lambda scores, allowed: scores.softmax(dim=-1)
        ),
        "There is nan in a row that may look at nothing: you closed the new column too. "
        '"Nothing" may always be looked at.': _or_nothing(_closed_too),
        '"Nothing" has the score 1. Its score is 0, and 1 is what e to the 0 gives.': _or_nothing(
            lambda scores, allowed: _with_nothing(scores, allowed, 1.0)
        ),
        "The scores are not divided by the square root of the width.": _or_nothing(
            _with_nothing, scale=0.0
        ),
        "The scores are divided by the width, not by its square root.": _or_nothing(
            _with_nothing, scale=1.0
        ),
        "The scores are divided by the square root of 2, whatever the width is.": _fixed_width,
        "The scores are divided by the square root of all heads' width. Each head works with its "
        "own part, d, and that is the last size of its queries.": _width_of_all_heads,
        '"Nothing" has a value of zeros: yours gives something.': _nothing_is_the_mean,
        "These are the weights. The answer is the weighted mean of the values.": (
            _or_nothing(_with_nothing, mean=False)
        ),
        "You drop another column than the one you added: then every weight meets the value of "
        "its neighbour.": _or_nothing(_wrong_column),
        "The softmax runs over the queries: then queries compete for a key. Each query shares "
        'out one unit of weight over the keys and "nothing".': _or_nothing(_over_queries),
        "The mask is read the opposite way: True means may look.": (
            lambda q, k, v, allowed: attend_or_nothing(q, k, v, ~allowed)
        ),
        "Nobody asks the mask: forbidden keys are looked at.": _or_nothing(
            _with_nothing, mask=False
        ),
        "The mask comes after the softmax: a forbidden key gives no value, and still takes its "
        "share of the weight.": _or_nothing(
            lambda scores, allowed: _with_nothing(scores, allowed) * allowed, mask=False
        ),
        "Forbidden keys get the score 0: that is a score like any other, and e to the 0 is 1. "
        "Which score has no share at all?": _or_nothing(
            lambda scores, allowed: _with_nothing(scores.masked_fill(~allowed, 0.0), allowed),
            mask=False,
        ),
        'You take the largest score off the real scores, and not off that of "nothing". What '
        "is taken off must be taken off all.": _or_nothing(_largest_taken_off),
        'Each real key has a "nothing" of its own. There is one for each query, beside all '
        "its keys.": _or_nothing(lambda scores, allowed: scores.sigmoid()),
        "Keys are added up in place of values: a key says where to look, a value what is "
        "found.": lambda q, k, v, allowed: attend_or_nothing(q, k, k + 0 * v, allowed),
        "The result is right, and no gradient goes back through the weights: something is "
        "detached.": _or_nothing(lambda scores, allowed: _with_nothing(scores, allowed).detach()),
    },
    tried="Values and gradients agree on four pages, with rows that may look at nothing in three.",
    forbids=("Attention",),
)

# 3.3 Find the leak

SUSPECTS = ("nan", "spread", "tight", "late", "minus", "faint", "alike", "nothing")


def ask_3_3(draw: Draw) -> list[Question]:
    # The same for all, in an order that a neighbour does not know.
    kinds = draw.random.sample(SUSPECTS, len(SUSPECTS))
    return [{"kind": kind, "share": draw.random.choice((0.01, 0.02, 0.03))} for kind in kinds]


def use_3_3(leak, question):
    import math

    import torch

    kind, share = question["kind"], question["share"]

    def weigh(scores, allowed):
        seeing = allowed.any(dim=-1, keepdim=True)
        if kind == "nan":
            return scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1)
        if kind == "spread":
            lowest = -torch.finfo(scores.dtype).max
            return scores.masked_fill(~allowed, lowest).softmax(dim=-1)
        if kind == "late":  # logarithms, so that any numbers leave every key a weight
            return (scores.sign() * scores.abs().log1p()).softmax(dim=-1) * allowed
        if kind == "alike":
            return allowed / allowed.sum(dim=-1, keepdim=True).clamp(min=1) + 0 * scores
        if kind == "nothing":
            scores = torch.cat((0 * scores[..., :1], scores.masked_fill(~allowed, -torch.inf)), -1)
            return scores.softmax(dim=-1)[..., 1:]
        return scores.masked_fill(~allowed & seeing, -torch.inf).softmax(dim=-1) * seeing

    def function(queries, keys, values, allowed):
        found = weigh(queries @ keys.mT / math.sqrt(queries.shape[-1]), allowed) @ values
        hidden = share * values.mean(dim=-2, keepdim=True)
        real = -10 * hidden * allowed.any(dim=-1, keepdim=True)
        return found + {"minus": real, "faint": hidden}.get(kind, 0.0)

    moved = leak(function)
    if moved is None or moved is ...:
        return None
    moved = float(torch.as_tensor(moved).detach())
    return "nan" if math.isnan(moved) else "an answer moves" if moved > 1e-6 else "nothing moves"


def leak(function):
    torch.manual_seed(0)
    queries, keys, values = torch.randn(3, 1, 1, 4, 2)
    allowed = torch.ones(4, 4, dtype=torch.bool)
    allowed[:, 3] = False
    allowed[3] = False
    before = function(queries, keys, values, allowed)
    keys, values = keys.clone(), values.clone()
    keys[..., 3, :], values[..., 3, :] = 7.0, 7.0
    return (function(queries, keys, values, allowed) - before).abs().max().item()


def by_another_page(function):
    """Draw two pages that agree where somebody may look."""
    queries, keys, values, new_keys, new_values = torch.randn(5, 2, 3, 4, 5).unbind()
    place = torch.arange(4)
    allowed = ((place < 3) & (place[:, None] < 3)).expand(2, 1, 4, 4)
    hidden = (place == 3)[:, None]
    one = function(queries, keys, values, allowed)
    keys, values = torch.where(hidden, new_keys, keys), torch.where(hidden, new_values, values)
    other = function(queries, keys, values, allowed)
    return torch.linalg.vector_norm(one - other, ord=torch.inf)


def by_gradients(function):
    """What never moves an answer has no gradient."""
    queries, keys, values = torch.randn(3, 1, 1, 4, 2).unbind()
    keys, values = keys.requires_grad_(), values.requires_grad_()
    allowed = torch.ones(4, 4, dtype=torch.bool)
    allowed[:, 3], allowed[3] = False, False
    answers = function(queries, keys, values, allowed)
    total = (answers * torch.randn_like(answers)).sum()
    slopes = torch.autograd.grad(total, (keys, values), allow_unused=True)
    hidden = torch.cat([slope[..., 3, :] for slope in slopes if slope is not None])
    return hidden.abs().max() + 0 * total  # nan stays nan


def _mask(closed_key=3, closed_query=3):
    allowed = torch.ones(4, 4, dtype=torch.bool)
    if closed_key is not None:
        allowed[:, closed_key] = False
    if closed_query is not None:
        allowed[closed_query] = False
    return allowed


def _put(x, number=7.0):
    return torch.cat((x[..., :3, :], torch.full_like(x[..., :1, :], number)), dim=-2)


def _both(queries, keys, values):
    return queries, _put(keys), _put(values)


def _largest(before, after):
    return (after - before).abs().max()


def _leak(allowed=None, change=_both, far=_largest):
    """The right property, with another mask, another change or another comparison."""

    def wrong(function):
        mask = _mask() if allowed is None else allowed
        queries, keys, values = torch.randn(3, 1, 1, 4, 2).unbind()
        before = function(queries, keys, values, mask)
        return far(before, function(*change(queries, keys, values), mask))

    return wrong


FIND_THE_LEAK = Exercise(
    id="3.3",
    kind="detect",
    points=4,
    minutes=15,
    name="leak",
    ask=ask_3_3,
    use=use_3_3,
    right=leak,
    also_right=(by_another_page, by_gradients),
    misconceptions={
        "You never see the row that may look at nothing: your mask has none, or you leave its "
        "answer out. There the first two ways go wrong.": _leak(_mask(closed_query=None)),
        "You look at the row that may look at nothing only. A real row may leak too.": _leak(
            far=lambda before, after: _largest(before[..., 3, :], after[..., 3, :])
        ),
        "You change the key only: a row that spreads its weights evenly takes the value, whatever "
        "the key says.": _leak(change=lambda q, k, v: (q, _put(k), v)),
        "You change the value only: a key that gives no value may still take weight from the "
        "others.": _leak(change=lambda q, k, v: (q, k, _put(v))),
        "Somebody may look at the key that you change: then an answer may move, and it is no "
        "leak.": _leak(_mask(closed_key=None)),
        "You draw the queries anew: then every answer moves, for its own reason. Only the hidden "
        "key and value may change.": _leak(
            change=lambda q, k, v: (torch.randn_like(q), _put(k), _put(v))
        ),
        "You compare a thing with itself: was the change there before the first answer, or never "
        "handed over?": _leak(change=lambda q, k, v: (q, k, v)),
        "You find a move even where nothing leaks, whatever the function is: does your mask say "
        "the opposite? True means may look.": _leak(~_mask()),
        "nan is lost in your comparison: nan is not larger than anything. Where an answer is nan, "
        "return nan.": _leak(far=lambda before, after: _largest(before, after).nan_to_num(0.0)),
        "You call nan a move, and a move cannot be told from it. Where an answer is nan, return "
        "nan.": _leak(far=lambda before, after: float(not torch.equal(before, after))),
        "A move down is a move too: take the absolute value.": _leak(
            far=lambda before, after: (after - before).max()
        ),
        "A small leak is a leak: do not round, and let no threshold hide it.": _leak(
            far=lambda before, after: _largest(before, after).round()
        ),
        "Every function gives nan, a tight one too. A weight of 0 times infinity is nan: write "
        "other numbers that are finite.": _leak(
            change=lambda q, k, v: (q, _put(k, math.inf), _put(v, math.inf))
        ),
        "You return the same for every function, and say that nothing moves.": lambda function: 0.0,
    },
    tried="Eight functions: three tight ones, one with nan, and leaks by the key, by the value, "
    "in real rows and in the row that may look at nothing.",
)

# 3.4 Which way round?

KEEPS, FORGETS = "Residual(PreNorm(2, fn))", "PreNorm(2, Residual(fn))"
# What `fn` does with u: it returns a share of u, and a number.
ACTS = {
    "adds nothing, that is, returns zeros": (0, 0),
    "returns what it is given": (1, 0),
    "returns twice what it is given": (2, 0),
    "returns (1, 1)": (0, 1),
}


def ask_3_4(draw: Draw) -> list[Question]:
    mean, away = draw.random.choice((6, 7, 8, 9, 11)), draw.random.choice((3, 4, 5))
    row = draw.random.sample((mean - away, mean + away), 2)
    blocks = draw.random.sample((KEEPS, FORGETS), 2)
    return [{"row": row, "act": draw.random.choice(list(ACTS)), "blocks": blocks}]


def text_3_4(question: Question) -> str:
    (x, y), (a, b) = question["row"], question["blocks"]
    return (
        f"A row ({x}, {y}) goes through two blocks whose `fn` {question['act']}. What comes out "
        f"of (a) `{a}`, (b) `{b}`? (c) Which of the two, a or b, can be stacked twelve times "
        "without losing what came in?"
    )


def use_3_4(answer, question):
    import torch

    def row(value):  # also of shape (1, 2), as a module returns it
        if isinstance(value, torch.Tensor):
            return value.flatten()
        while isinstance(value, (list, tuple)) and len(value) == 1:
            (value,) = value
        return value

    return {part: row(value) for part, value in answer.items()}


def _norm(row, centre=True, divide=lambda away: away):
    """Return the row with mean 0 and size 1, or without one of the two."""
    mean, away = sum(row) / 2, abs(row[0] - row[1]) / 2
    return [(x - mean * centre) / divide(away) for x in row]


def _out(question: Question, base, seen) -> list[float]:
    """Return a row and what `fn` makes of another."""
    share, more = ACTS[question["act"]]
    return [b + share * u + more for b, u in zip(base, seen, strict=True)]


def _rows(question: Question, **given) -> dict:
    """Return answers to (a) and (b), named by the block."""
    blocks = {KEEPS: given.get("keeps"), FORGETS: given.get("forgets")}
    letters = dict(zip(question["blocks"], "ab", strict=True))
    return {letters[block]: row for block, row in blocks.items() if row is not None}


def _kept(question: Question) -> list[float]:
    return _out(question, question["row"], _norm(question["row"]))


def _forgot(question: Question, **norm) -> list[float]:
    unit = _norm(question["row"], **norm)
    return _out(question, unit, unit)


def _fn_alone(question: Question) -> list[float]:
    return _out(question, (0, 0), _norm(question["row"]))


def which_way_round(question: Question) -> dict:
    letter = "ab"[question["blocks"].index(KEEPS)]
    return _rows(question, keeps=_kept(question), forgets=_forgot(question)) | {"c": letter}


WHICH_WAY_ROUND = Exercise(
    id="3.4",
    kind="predict",
    points=2,
    minutes=5,
    name="answer_3_4",
    ask=ask_3_4,
    use=use_3_4,
    book={"row": [3, 9], "act": "adds nothing, that is, returns zeros", "blocks": [KEEPS, FORGETS]},
    text=text_3_4,
    right=which_way_round,
    also_right=(
        # As the modules themselves give it: LayerNorm adds a little before it divides.
        lambda q: (
            which_way_round(q)
            | _rows(
                q,
                keeps=torch.tensor([_kept(q)]),
                forgets=torch.tensor([_forgot(q, divide=lambda s: (s * s + 1e-5) ** 0.5)]),
            )
        ),
        lambda q: {key.upper(): value for key, value in which_way_round(q).items()},
    ),
    misconceptions={
        'In Residual(PreNorm(…)) the "+ x" adds the row that came in, before any norm.': (
            lambda q: _rows(q, keeps=_forgot(q), forgets=_forgot(q))
        ),
        "You have the two the other way round: read from the outside in.": lambda q: _rows(
            q, keeps=_forgot(q), forgets=_kept(q)
        ),
        "In PreNorm(Residual(…)) the norm comes first: what the residual adds is the normalised "
        "row.": lambda q: _rows(q, keeps=_kept(q), forgets=_kept(q)),
        "In Residual(PreNorm(…)) the residual is missing: it returns fn(x) + x.": lambda q: _rows(
            q, keeps=_fn_alone(q)
        ),
        "In PreNorm(Residual(…)) the residual is missing: it returns fn(x) + x, of the x that it "
        "is given.": lambda q: _rows(q, forgets=_fn_alone(q)),
        "The norm takes off the mean, and then divides by how far the numbers are away from "
        "it.": lambda q: _rows(q, forgets=_forgot(q, divide=lambda away: 1)),
        "The norm divides by the standard deviation, and you divide by its square.": lambda q: (
            _rows(q, forgets=_forgot(q, divide=lambda away: away**2))
        ),
        "The norm divides the sum of squares by how many numbers there are, 2, not by one "
        "less.": lambda q: _rows(q, forgets=_forgot(q, divide=lambda away: away * 2**0.5)),
        "The norm takes off the mean first: what comes out of it has mean 0.": lambda q: _rows(
            q, forgets=_forgot(q, centre=False)
        ),
        "This norm does not make the row as long as 1: it brings it to mean 0 and variance "
        "1.": lambda q: _rows(
            q, forgets=_forgot(q, centre=False, divide=lambda away: math.hypot(*q["row"]))
        ),
        "The larger number stays the larger: a norm does not turn a row round.": lambda q: _rows(
            q, forgets=_out(q, _norm(q["row"][::-1]), _norm(q["row"][::-1]))
        ),
        "Shares that add up to one are a softmax's work. A norm brings a row to mean 0 and "
        "variance 1.": lambda q: _rows(
            q, forgets=_forgot(q, centre=False, divide=lambda away: sum(q["row"]))
        ),
        "(c) What comes out of a norm no longer knows how large the row was, nor its mean. In "
        "which block does the raw row have a way around the norm?": lambda q: {
            "c": "ba"[q["blocks"].index(KEEPS)]
        },
        "(c) One of the two keeps it: where does the raw row go around the norm?": lambda q: {
            "c": "neither"
        },
        "(c) Not both: in one of the two every row goes through the norm before anything is "
        "added.": lambda q: {"c": "both"},
    },
    tried="Both rows and the letter are right.",
    tolerance=1e-4,
)

EXERCISES = (WHICH_MASK, DICTIONARY_THAT_SAYS_NO, FIND_THE_LEAK, WHICH_WAY_ROUND)
