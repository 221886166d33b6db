"""Exercises of chapter 05: writing the memory."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from memformer_lite.lab.exercise import Draw, Exercise, Question
from memformer_lite.memory import MemoryRule

# 5.1 All slots at once


def ask_5_1(draw: Draw) -> list[Question]:
    sizes = [(2, 3, 5, 7), (1, 2, 3, 4), (3, 1, 4, 2), (1, 4, 1, draw.random.choice((3, 5, 11)))]
    questions = []
    for b, k, n, d in sizes:
        rows = {"queries": k, "slot_keys": k, "slot_values": k, "token_keys": n, "token_values": n}
        questions.append({name: draw.normal(b, count, d) for name, count in rows.items()})
    return questions


def use_5_1(slot_attention, question):
    from memformer_lite.lab.using import with_gradients

    return with_gradients(slot_attention, *question.values())


def slot_attention(queries, slot_keys, slot_values, token_keys, token_values):
    own = (queries * slot_keys).sum(dim=-1, keepdim=True)  # (b, k, 1)
    scores = torch.cat((own, queries @ token_keys.mT), dim=-1)  # (b, k, 1 + n)
    weights = (scores / queries.shape[-1] ** 0.5).softmax(dim=-1)
    return weights[..., :1] * slot_values + weights[..., 1:] @ token_values


def slot_by_slot(queries, slot_keys, slot_values, token_keys, token_values):
    new = []
    for i in range(queries.shape[1]):
        keys = torch.cat((slot_keys[:, i : i + 1], token_keys), dim=1)
        values = torch.cat((slot_values[:, i : i + 1], token_values), dim=1)
        query = queries[:, i : i + 1]
        new.append(F.scaled_dot_product_attention(query, keys, values))
    return torch.cat(new, dim=1)


def by_exponentials(queries, slot_keys, slot_values, token_keys, token_values):
    scale = math.sqrt(queries.size(-1))
    keep = torch.einsum("bkd,bkd->bk", queries, slot_keys).div(scale).exp()
    take = torch.einsum("bkd,bnd->bkn", queries, token_keys).div(scale).exp()
    total = keep + take.sum(dim=-1)
    new = keep[..., None] * slot_values + torch.einsum("bkn,bnd->bkd", take, token_values)
    return new / total[..., None]


def _slot_attention(scores, split=None):
    """Slot attention with other scores, or another way from scores and values to the result."""

    def write(queries, slot_keys, slot_values, token_keys, token_values):
        own, take = scores(queries, slot_keys, token_keys)
        if split is not None:
            return split(own, take, slot_values, token_values)
        weights = torch.cat((own, take), dim=-1).softmax(dim=-1)
        return weights[..., :1] * slot_values + weights[..., 1:] @ token_values

    return write


def _scores(queries, slot_keys, token_keys, scale=None):
    scale = queries.shape[-1] ** 0.5 if scale is None else scale
    return (queries * slot_keys).sum(dim=-1, keepdim=True) / scale, queries @ token_keys.mT / scale


def _all_slots(queries, slot_keys, slot_values, token_keys, token_values):
    keys, values = torch.cat((slot_keys, token_keys), 1), torch.cat((slot_values, token_values), 1)
    return F.scaled_dot_product_attention(queries, keys, values)


def _no_slot(queries, slot_keys, slot_values, token_keys, token_values):
    return F.scaled_dot_product_attention(queries, token_keys, token_values)


def _two_softmaxes(own, take, slot_values, token_values):
    return own.softmax(-1) * slot_values + take.softmax(-1) @ token_values


def _over_slots(own, take, slot_values, token_values):
    weights = torch.cat((own, take), dim=-1).softmax(dim=-2)
    return weights[..., :1] * slot_values + weights[..., 1:] @ token_values


def _own_value_lost(own, take, slot_values, token_values):
    weights = torch.cat((own, take), dim=-1).softmax(dim=-1)
    return weights[..., 1:] @ token_values


def _keys_as_values(queries, slot_keys, slot_values, token_keys, token_values):
    return slot_attention(queries, slot_keys, slot_keys, token_keys, token_keys)


def _mean_of_products(queries, slot_keys, token_keys):
    own, take = _scores(queries, slot_keys, token_keys)
    return own / queries.shape[-1], take


def _slot_last(own, take, slot_values, token_values):
    weights = torch.cat((take, own), dim=-1).softmax(dim=-1)
    return weights[..., :1] * slot_values + weights[..., 1:] @ token_values


def _old_slot_added(queries, slot_keys, slot_values, token_keys, token_values):
    arguments = queries, slot_keys, slot_values, token_keys, token_values
    return slot_values + slot_attention(*arguments)


def _weights_alone(own, take, slot_values, token_values):
    return torch.cat((own, take), dim=-1).softmax(dim=-1)


def _detached(queries, slot_keys, slot_values, token_keys, token_values):
    own, take = _scores(queries, slot_keys, token_keys)
    weights = torch.cat((own, take), dim=-1).softmax(dim=-1).detach()
    return weights[..., :1] * slot_values + weights[..., 1:] @ token_values


ALL_SLOTS_AT_ONCE = Exercise(
    id="5.1",
    kind="build",
    points=4,
    minutes=15,
    name="slot_attention",
    ask=ask_5_1,
    use=use_5_1,
    right=slot_attention,
    also_right=(slot_by_slot, by_exponentials),
    misconceptions={
        "Every slot meets every other slot's key: queries times slot keys as a matrix product is "
        "slots by slots. A slot's own score is the sum over the width of an elementwise "
        "product.": _all_slots,
        "The slot itself is missing: it stands beside the tokens, with a score and a value of its "
        "own.": _no_slot,
        "The scores are not divided by the square root of the width.": _slot_attention(
            lambda q, s, t: _scores(q, s, t, scale=1.0)
        ),
        "The scores are divided by the width, not by its square root.": _slot_attention(
            lambda q, s, t: _scores(q, s, t, scale=q.shape[-1])
        ),
        "The scores are divided by the square root of the number of slots: it is that of the "
        "width.": _slot_attention(lambda q, s, t: _scores(q, s, t, scale=q.shape[1] ** 0.5)),
        "The slot's own score is a mean over the width: it is a sum, as the other scores "
        "are.": _slot_attention(_mean_of_products),
        "The slot is joined behind the tokens, and its weight is read from the first "
        "column.": _slot_attention(_scores, _slot_last),
        "The old slot is added once more. That is for the rule to decide, after this "
        "step.": _old_slot_added,
        "You return the weights: what they weigh is missing.": _slot_attention(
            _scores, _weights_alone
        ),
        "The scores are divided by the square root of 7, whatever the width is.": _slot_attention(
            lambda q, s, t: _scores(q, s, t, scale=7**0.5)
        ),
        "Keeping and taking are two softmaxes: then a slot keeps all of itself. It is one softmax "
        "over all 1 + n scores.": _slot_attention(_scores, _two_softmaxes),
        "The softmax runs over the slots: then slots compete for a token. Each slot's own 1 + n "
        "weights sum to 1.": _slot_attention(_scores, _over_slots),
        "The slot has a weight, and its value is never added.": _slot_attention(
            _scores, _own_value_lost
        ),
        "Keys are added up in place of values: a key says where to look, a value what is "
        "found.": _keys_as_values,
        "The result is right, and no gradient goes back through the weights: something is "
        "detached.": _detached,
    },
    tried="Values and gradients agree in four shapes, among them one slot and one token.",
    forbids=("SlotAttention", "MemoryWriter"),
)

# 5.2 Predict the walk


def ask_5_2(draw: Draw) -> list[Question]:
    return [
        {
            "degrees": draw.random.choice((40, 80, 120, 160)),
            "pages": draw.random.choice((2, 3)),
            "length": draw.random.choice((0.4, 0.5, 0.8, 1.5, 2)),
        }
    ]


def use_5_2(answer, question):
    # -180° is the same direction as 180°.
    return {part: abs(value) if part == "b" else value for part, value in answer.items()}


def text_5_2(question: Question) -> str:
    pages = {2: "two", 3: "three"}[question["pages"]]
    return (
        f"(a) A slot stands at {question['degrees']}° from a bias of length 1; at how many degrees "
        f"does it stand after {pages} pages? (b) A slot stands exactly opposite to a bias of "
        f"length {question['length']}, at 180°; where does it stand after 50 pages? (c) A slot "
        "stands exactly opposite to a bias of length 1; what is its norm after one page?"
    )


def walk(question: Question) -> dict:
    # Two unit vectors: their sum bisects the angle. On one line the longer one decides. And the
    # sum of two opposite vectors of one length has no direction: F.normalize leaves it 0.
    turned = 0 if question["length"] > 1 else 180
    return {"a": question["degrees"] / 2 ** question["pages"], "b": turned, "c": 0}


PREDICT_THE_WALK = Exercise(
    id="5.2",
    kind="predict",
    points=3,
    minutes=10,
    name="answer_5_2",
    ask=ask_5_2,
    use=use_5_2,
    book={"degrees": 80, "pages": 3, "length": 0.5},
    text=text_5_2,
    right=walk,
    also_right=(
        lambda q: {key: float(value) for key, value in walk(q).items()},
        lambda q: walk(q) | {"b": -walk(q)["b"]},
    ),
    misconceptions={
        "(a) The angle is halved on every page, not once.": lambda q: {"a": q["degrees"] / 2},
        "(a) The angle is divided by 2 again and again, not by the number of pages and "
        "one.": lambda q: {"a": q["degrees"] / (q["pages"] + 1) if q["pages"] != 1 else None},
        "(a) A slot of norm 1 does not jump to its bias: the sum of two arrows of one length "
        "lies halfway.": lambda q: {"a": 0},
        "(b) Slot, bias and sum lie on one line: which of the two arrows is longer, and which way "
        "does the sum point?": lambda q: {"b": 180 - walk(q)["b"]},
        "(b) Nothing in the sum points aside: on one line there is no way to 90°.": lambda q: {
            "b": 90
        },
        "(c) A vector can be brought to length 1 only if it has a direction. What is the sum of "
        "two opposite arrows of the same length?": lambda q: {"c": 1},
        "(c) The sum is taken before the norm: it is as long as the difference of the two "
        "lengths.": lambda q: {"c": 2},
    },
    tried="All three are right.",
)

# 5.3 Two equal slots

PARTING = {  # what can be done to two equal slots, and whether it makes them differ
    "a thousand more pages": False,
    "three updates a page": False,
    "a page that speaks of one box only": False,
    "a temperature of 0.1": False,
    "training the first memory by gradient descent": False,
    "training the weights of the writer by gradient descent": False,
    "adding 0.001 to one number of m1 at the start": True,
    "drawing the first memory at random": True,
}
TRAINING = [act for act in PARTING if act.startswith("training")]
HELPS = [act for act, parts in PARTING.items() if parts]
PAGES = [act for act in PARTING if "page" in act and "updates" not in act]
RULES = ["three updates a page", "a temperature of 0.1"]


def ask_5_3(draw: Draw) -> list[Question]:
    acts = [draw.random.choice(kind) for kind in (PAGES, RULES, TRAINING, HELPS)]
    draw.random.shuffle(acts)
    return [{"acts": acts}]


def use_5_3(answer, question):
    from memformer_lite.lab.using import letters

    return letters(answer, "abcd")


def text_5_3(question: Question) -> str:
    letters = [f"({letter}) {act}" for letter, act in zip("abcd", question["acts"], strict=True)]
    return "; ".join(letters)


def _letters(question: Question, acts) -> dict[str, bool]:
    pairs = zip("abcd", question["acts"], strict=True)
    return {letter: act in acts for letter, act in pairs}


def _wrong_about(question: Question, acts) -> dict[str, bool]:
    """The letters of some acts alone, each the wrong way round."""
    pairs = zip("abcd", question["acts"], strict=True)
    return {letter: not PARTING[act] for letter, act in pairs if act in acts}


TWO_EQUAL_SLOTS = Exercise(
    id="5.3",
    kind="choose",
    points=2,
    minutes=10,
    name="answer_5_3",
    ask=ask_5_3,
    use=use_5_3,
    book={
        "acts": [
            "a thousand more pages",
            "three updates a page",
            "training the first memory by gradient descent",
            "adding 0.001 to one number of m1 at the start",
        ]
    },
    text=text_5_3,
    right=lambda q: _letters(q, HELPS),
    also_right=(
        lambda q: {letter for letter, parts in _letters(q, HELPS).items() if parts},
        lambda q: [f"({letter.upper()})" for letter, parts in _letters(q, HELPS).items() if parts],
    ),
    misconceptions={
        "Equal gradients: two equal slots are read alike, so no loss can tell them apart, and "
        "descent cannot part them.": lambda q: _wrong_about(q, TRAINING),
        "Both slots see the same pages, every time: neither their number nor their words part "
        "them.": lambda q: _wrong_about(q, PAGES),
        "Both slots follow the same rule: it parts them neither when it is sharper nor when it is "
        "repeated.": lambda q: _wrong_about(q, RULES),
        "One of the four makes m1 hold something else than m2 from the first page on. "
        "Which?": lambda q: _wrong_about(q, HELPS),
    },
    tried="Only a different start parts two slots.",
)

# 5.4 Find the leak

WRITERS = (
    *("itself", "page alone", "wrong axis", "all", "earlier", "later"),
    *("one neighbour", "first slot", "far"),
)


def ask_5_4(draw: Draw) -> list[Question]:
    questions = []
    for kind in WRITERS:
        k, n, d = draw.random.choice(((4, 5, 3), (5, 3, 2), (3, 4, 5)))
        pages = {"mems": draw.normal(1, k, d), "enc_out": draw.normal(1, n, d)}
        questions.append({"kind": kind, **pages})
    questions.append(
        {"kind": "itself", "mems": draw.normal(2, 3, 2), "enc_out": draw.normal(2, 4, 2)}
    )
    questions.append({"kind": "all", "mems": draw.normal(2, 2, 3), "enc_out": draw.normal(2, 1, 3)})
    return questions


def use_5_4(sees_neighbours, question):
    import torch
    import torch.nn.functional as F

    k = question["mems"].shape[1]
    itself, place = torch.eye(k, dtype=torch.bool), torch.arange(k * k).view(k, k)
    looks = {
        "itself": itself,
        "wrong axis": itself,
        "earlier": torch.ones(k, k, dtype=torch.bool).tril(),
        "later": torch.ones(k, k, dtype=torch.bool).triu(),
        "page alone": torch.zeros(k, k, dtype=torch.bool),
        "one neighbour": itself | (place == k + k + 1),  # slot 2 sees slot 1
        "far": itself | (place == (k - 1) * k),  # the last slot sees the first
        "all": torch.ones(k, k, dtype=torch.bool),
        "first slot": itself | (torch.arange(k) == 0),
    }[question["kind"]]

    def write(mems, enc_out):
        seen = torch.cat((mems, enc_out), dim=1)
        visible = F.pad(looks, (0, enc_out.shape[1]), value=True)
        asking = torch.ones_like(mems) if question["kind"] == "page alone" else mems
        scores = (asking @ seen.mT).masked_fill(~visible, float("-inf"))
        return scores.softmax(dim=-2 if question["kind"] == "wrong axis" else -1) @ seen

    found = sees_neighbours(write, question["mems"], question["enc_out"])
    return found if found is None else bool(found)


def sees_neighbours(write, mems, enc_out):
    jacobian = torch.autograd.functional.jacobian(lambda m: write(m, enc_out), mems)
    by_slot = jacobian.abs().amax(dim=(0, 2, 3, 5))  # (k, k): output slot by input slot
    return bool((by_slot[~torch.eye(mems.shape[1], dtype=torch.bool)] > 0).any())


def _moved(write, mems, enc_out, i):
    """Which slots' results move when slot i is changed, bool (k,)."""
    other = mems.clone()
    other[:, i] += 1.0
    return (write(other, enc_out) - write(mems, enc_out)).abs().amax(dim=(0, 2)) > 1e-9


def by_changes(write, mems, enc_out):
    for i in range(mems.shape[1]):
        moved = _moved(write, mems, enc_out, i)
        moved[i] = False
        if moved.any():
            return True
    return False


def one_at_a_time(write, mems, enc_out):
    """Each slot must be written the same among other slots."""
    alone, together = [], write(mems, enc_out)
    for i in range(mems.shape[1]):
        others = mems.roll(1, dims=0) if mems.shape[0] > 1 else mems.flip(1)
        swapped = others.clone() * 2 - 1
        swapped[:, i] = mems[:, i]
        alone.append(write(swapped, enc_out)[:, i])
    return not torch.allclose(torch.stack(alone, dim=1), together, rtol=0, atol=1e-12)


FIND_THE_LEAK = Exercise(
    id="5.4",
    kind="detect",
    points=4,
    minutes=15,
    name="sees_neighbours",
    ask=ask_5_4,
    use=use_5_4,
    right=sees_neighbours,
    also_right=(by_changes, one_at_a_time),
    misconceptions={
        "You count a slot's own change: a slot may see itself.": lambda w, m, e: any(
            _moved(w, m, e, i).any() for i in range(m.shape[1])
        ),
        "You change the last slot only: in one version a slot sees those before it, and then no "
        "other notices. Change each slot in turn.": lambda w, m, e: bool(
            _moved(w, m, e, m.shape[1] - 1)[:-1].any()
        ),
        "You change slot 0 only: in one version a slot sees those after it, and then no other "
        "notices. Change each slot in turn.": lambda w, m, e: bool(_moved(w, m, e, 0)[1:].any()),
        "You look at the next slot only: it may see one that is further away.": lambda w, m, e: any(
            bool(_moved(w, m, e, i)[i + 1 : i + 2].any()) for i in range(m.shape[1])
        ),
        "You look at results after the changed slot only: a slot may see later "
        "ones.": lambda w, m, e: any(
            bool(_moved(w, m, e, i)[i + 1 :].any()) for i in range(m.shape[1])
        ),
        "You reverse the slots: then all versions that treat them alike pass, though slots may see "
        "each other. Change one slot, and look at another.": lambda w, m, e: (
            not torch.allclose(w(m, e).flip(1), w(m.flip(1), e))
        ),
        "You call every version clean: does your change reach the function?": lambda w, m, e: False,
        "You call every version leaking.": lambda w, m, e: True,
    },
    tried="Eleven writers: clean ones, and leaks from slots before, after, near and far.",
)

# 5.5 A rule of your own


def ask_5_5(draw: Draw) -> list[Question]:
    sizes = [(2, 3, 4, 0.9), (1, 2, 5, 1.0), (1, 1, 2, 0.0)]
    sizes.append((2, 2, 3, draw.random.choice((0.2, 0.3, 0.7))))
    return [
        {"z": z, "written": draw.normal(b, k, d), "mems": draw.normal(b, k, d)}
        for b, k, d, z in sizes
    ]


def use_5_5(Share, question):
    import torch

    from memformer_lite import MemoryWriter

    z, mems, written = question["z"], question["mems"], question["written"]
    rule = Share(z)
    result = rule(written, mems, None)
    if not isinstance(result, tuple) or len(result) != 2:
        return result if result is None else type(result).__name__
    new, gate = result
    after = None
    if isinstance(gate, torch.Tensor) and gate.shape == mems.shape and z == 0.9:  # in a writer
        torch.default_generator.manual_seed(0)
        after = MemoryWriter(mems.shape[-1], heads=2, update=rule).double()(mems, written)
    return {"the memory": new, "the gate": gate, "the memory in a writer": after}


class Share(MemoryRule):
    def __init__(self, z):
        super().__init__()
        self.z = z

    def forward(self, written, mems, slots):
        gate = torch.full_like(mems, self.z)
        return gate * mems + (1 - gate) * written, gate


class LerpShare(MemoryRule):
    def __init__(self, z):
        super().__init__()
        self.register_buffer("z", torch.tensor(float(z), dtype=torch.float64))

    def forward(self, written, mems, slots):
        return torch.lerp(written, mems, self.z.item()), self.z.expand(mems.shape).clone()


def _share(forward):
    class Wrong(MemoryRule):
        def __init__(self, z):
            super().__init__()
            self.z = z

        def forward(self, written, mems, slots):
            return forward(self.z, written, mems)

    return Wrong


class NotARule(nn.Module):
    """Right numbers, and no rule: a writer refuses it."""

    def __init__(self, z):
        super().__init__()
        self.z = z

    def forward(self, written, mems, slots):
        return self.z * mems + (1 - self.z) * written, torch.full_like(mems, self.z)


A_RULE_OF_YOUR_OWN = Exercise(
    id="5.5",
    kind="build",
    points=3,
    minutes=10,
    name="Share",
    ask=ask_5_5,
    use=use_5_5,
    right=Share,
    also_right=(
        LerpShare,
        _share(lambda z, w, m: (w + z * (m - w), torch.zeros_like(m) + z)),
    ),
    misconceptions={
        "Your share is that of what was written: z = 1 keeps.": _share(
            lambda z, w, m: ((1 - z) * m + z * w, torch.full_like(m, z))
        ),
        "The memory is right, and the gate tells the share that is taken: z = 1 keeps.": _share(
            lambda z, w, m: (z * m + (1 - z) * w, torch.full_like(m, 1 - z))
        ),
        "You return the new memory alone: a rule returns a tuple, the memory and its gate.": _share(
            lambda z, w, m: z * m + (1 - z) * w
        ),
        "You add all that was written: the two shares sum to 1.": _share(
            lambda z, w, m: (z * m + w, torch.full_like(m, z))
        ),
        "What was written never arrives.": _share(lambda z, w, m: (z * m, torch.full_like(m, z))),
        "The gate is one number: it has one for each number of the memory.": _share(
            lambda z, w, m: (z * m + (1 - z) * w, z)
        ),
        "There is no gate: this rule has one, the same number everywhere.": _share(
            lambda z, w, m: (z * m + (1 - z) * w, None)
        ),
        "The gate comes first: a rule returns the memory, and then its gate.": _share(
            lambda z, w, m: (torch.full_like(m, z), z * m + (1 - z) * w)
        ),
        "The result is a list: a writer wants a tuple of two.": _share(
            lambda z, w, m: [z * m + (1 - z) * w, torch.full_like(m, z)]
        ),
        "The memory stays as it was, whatever is written.": _share(
            lambda z, w, m: (m.clone(), torch.full_like(m, z))
        ),
        "It computes the right numbers and is no MemoryRule, so a writer refuses it.": NotARule,
        "The share is 0.9, whatever z is.": _share(
            lambda z, w, m: (0.9 * m + 0.1 * w, torch.full_like(m, 0.9))
        ),
    },
    tried="Four shares, 0 and 1 among them, and a MemoryWriter that takes the rule.",
)

EXERCISES = (
    ALL_SLOTS_AT_ONCE,
    PREDICT_THE_WALK,
    TWO_EQUAL_SLOTS,
    FIND_THE_LEAK,
    A_RULE_OF_YOUR_OWN,
)
