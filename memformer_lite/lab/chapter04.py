"""Exercises of chapter 04: reading the memory."""

import itertools

import torch

from memformer_lite.encoder import Encoder
from memformer_lite.lab.exercise import Draw, Exercise, Question

# 4.1 Open the layer


def ask_4_1(draw: Draw) -> list[Question]:
    heads = draw.random.choice((1, 2, 4))
    # b, n, k, d, h: one token, one slot, as many slots as tokens.
    sizes = [(1, 1, 2, 4, heads), (1, 5, 1, 4, heads), (2, 3, 3, 6, 3)]
    return [
        {
            "heads": h,
            "gradients": b == 2,
            "x": draw.normal(b, n, d),
            "memory": draw.normal(b, k, d),
            "pos_bias": draw.normal(1, h, n, n),
        }
        for b, n, k, d, h in sizes
    ]


def use_4_1(exits, question):
    import torch

    from memformer_lite import Layer
    from memformer_lite.lab.using import with_gradients

    class LayerCalledError(Exception):
        pass

    def refuse(*inputs, **options):
        raise LayerCalledError("call the layer's parts, not the layer")

    x, memory, pos_bias = question["x"], question["memory"], question["pos_bias"]
    layer = Layer(x.shape[-1], heads=question["heads"]).double().requires_grad_(False)
    for norm in (layer.look_around_norm, layer.read_norm, layer.think_norm):
        norm.weight.normal_()  # new norms are all alike
        norm.bias.normal_()
    layer.forward = refuse

    def as_tuple(*inputs):
        parts = exits(layer, *inputs)
        if isinstance(parts, dict):
            return tuple(parts.values())
        stacked = isinstance(parts, torch.Tensor) and parts.dim() == 4
        return tuple(parts) if stacked else parts

    if question["gradients"]:
        return with_gradients(as_tuple, x, memory, pos_bias)
    return as_tuple(x, memory, pos_bias)


def exits(layer, x, memory, pos_bias):
    around = layer.look_around(layer.look_around_norm(x), pos_bias=pos_bias)
    x = x + around
    found = layer.read(layer.read_norm(x), context=memory)
    x = x + found
    thought = layer.think(layer.think_norm(x))
    return around, found, thought


def by_differences(layer, x, memory, pos_bias):
    roads = [x]
    roads.append(x + layer.look_around(layer.look_around_norm(x), pos_bias=pos_bias))
    roads.append(roads[-1] + layer.read(layer.read_norm(roads[-1]), memory))
    roads.append(roads[-1] + layer.think(layer.think_norm(roads[-1])))
    return torch.stack([after - road for road, after in itertools.pairwise(roads)])


PARTS = ("look_around", "read", "think")


def _exits(*, road=None, norm=None, options=None, order=PARTS, returns=None):
    """Exits that leave from another road, through other norms, or return something else."""

    def mistaken(layer, x, memory, pos_bias):
        given = {"look_around": {"pos_bias": pos_bias}, "read": {"context": memory}, "think": {}}
        given |= options(layer, memory, pos_bias) if options else {}
        added: dict = {}
        for part in order:
            here = road(x, *added.values()) if road else sum(added.values(), x)
            asking = norm(layer, here) if norm else getattr(layer, f"{part}_norm")(here)
            added[part] = getattr(layer, part)(asking, **given[part])
        parts = tuple(added[part] for part in PARTS)
        return returns(x, *parts) if returns else parts

    return mistaken


def _norm_after(layer, x, memory, pos_bias):
    around = layer.look_around_norm(layer.look_around(x, pos_bias=pos_bias))
    found = layer.read_norm(layer.read(x + around, context=memory))
    return around, found, layer.think_norm(layer.think(x + around + found))


def _road_normalised(layer, x, memory, pos_bias):
    x = layer.look_around_norm(x)
    around = layer.look_around(x, pos_bias=pos_bias)
    x = layer.read_norm(x + around)
    found = layer.read(x, context=memory)
    return around, found, layer.think(layer.think_norm(x + found))


def _slots_ask(layer, x, memory, pos_bias):
    around = layer.look_around(layer.look_around_norm(x), pos_bias=pos_bias)
    found = layer.read(layer.read_norm(memory), context=x + around)
    if found.shape != x.shape:
        raise ValueError("a row for each slot cannot be added to a row for each token")
    return around, found, layer.think(layer.think_norm(x + around + found))


OPEN_THE_LAYER = Exercise(
    id="4.1",
    kind="build",
    points=3,
    minutes=10,
    name="exits",
    ask=ask_4_1,
    use=use_4_1,
    right=exits,
    also_right=(by_differences, _exits()),
    misconceptions={
        "The first part still holds x itself: an exit is what comes back from the part, before "
        "anything is added.": _exits(returns=lambda x, a, f, t: (x + a, f, t)),
        "These are the roads after each exit, with x in all of them. Wanted is what each exit adds "
        "alone.": _exits(returns=lambda x, a, f, t: (x + a, x + a + f, x + a + f + t)),
        "The parts are added up: the second holds the first, the third holds both. Each exit adds "
        "its own part once.": _exits(returns=lambda x, a, f, t: (a, a + f, a + f + t)),
        "Together they are right, but all of it stands in the last part. What does each exit add "
        "alone?": _exits(returns=lambda x, a, f, t: (0 * a, 0 * f, a + f + t)),
        "The last part is all that the layer returns. It is what thinking alone adds.": _exits(
            returns=lambda x, a, f, t: (a, f, x + a + f + t)
        ),
        "Wanted are three tensors, not their sum.": _exits(returns=lambda x, *parts: sum(parts)),
        "The three parts are right, in another order: looking around, reading, thinking.": _exits(
            returns=lambda x, a, f, t: (a, t, f)
        ),
        "All three exits leave from x. Each exit leaves where the last one came back.": _exits(
            road=lambda x, *added: x
        ),
        "The second exit leaves from x. It leaves from the road as it is after the first: a token "
        "asks with what it saw around it.": _exits(
            road=lambda x, *added: x if len(added) == 1 else sum(added, x)
        ),
        "The third exit does not know what was found: it leaves from the road before the "
        "reading.": _exits(road=lambda x, *added: sum(added[:1], x)),
        "Each exit leaves from what the last one found, and the road itself is forgotten. What "
        "comes back is added to the road first.": _exits(
            road=lambda x, *added: added[-1] if added else x
        ),
        "The reading comes first. It is the second exit: a token looks around before it asks the "
        "memory.": _exits(order=("read", "look_around", "think")),
        "The layer thinks before it reads. The reading is the second exit.": _exits(
            order=("look_around", "think", "read")
        ),
        "The norms are missing: each exit takes a normalised copy of the road.": _exits(
            norm=lambda layer, x: x
        ),
        "The road itself is normalised. Only the copy that leaves at an exit is: the road goes on "
        "as it is.": _road_normalised,
        "One norm serves all three exits. Each exit has a norm of its own.": _exits(
            norm=lambda layer, x: layer.look_around_norm(x)
        ),
        "The norm stands behind the part. It stands before it: what comes back is not "
        "normalised.": _norm_after,
        "The look around gets no position bias, so it does not know who stands how far "
        "away.": _exits(options=lambda layer, memory, bias: {"look_around": {}}),
        "The look around gets the memory. There the tokens see each other; the memory comes at the "
        "second exit.": _exits(
            options=lambda layer, memory, bias: {"look_around": {"context": memory}}
        ),
        "The reading gets a position bias. Slots have no order, so there is no distance to "
        "them.": _exits(
            options=lambda layer, memory, bias: {"read": {"context": memory, "pos_bias": bias}}
        ),
        "The second exit gets no memory: without a context, attention takes the tokens themselves "
        "for keys.": _exits(options=lambda layer, memory, bias: {"read": {}}),
        "The memory is normalised. Only the road is: a slot is read as it is.": _exits(
            options=lambda layer, memory, bias: {"read": {"context": layer.read_norm(memory)}}
        ),
        "The slots ask and the tokens answer. It is the tokens that ask: what is read has a row "
        "for each token.": _slots_ask,
        "You call the layer itself. Call its parts, to see what each of them "
        "adds.": lambda layer, x, memory, pos_bias: layer(x, memory, pos_bias=pos_bias),
        "The numbers are right, and no gradient goes back through them: something is "
        "detached.": _exits(returns=lambda x, *parts: tuple(part.detach() for part in parts)),
    },
    tried="The three parts and their gradients agree in three shapes, among them one token and "
    "one slot.",
    forbids=("Layer", "Encoder"),
)

# 4.2 Predict the map

CHANGES = {  # in how many words each change can be told; {i} and {j} are two slots
    "equal": (
        "all four slots become the same row",
        "all four slots become rows of zeros",
        "every slot becomes the mean of the four slots",
    ),
    "repeated": (
        "all four tokens become the same token",
        "tokens 1, 2 and 3 become copies of token 0",
        "tokens 0, 1 and 2 become copies of token 3",
    ),
    "exchanged": ("slots {i} and {j} change places",),
    "loud": (
        "slot {j} is multiplied by 100",
        "slot {i} is multiplied by -100",
        "slot {j} is multiplied by 1000",
    ),
    "road": (
        "the road before the reading is multiplied by 10",
        "7 is added to every number of the road before the reading",
        "the road before the reading is multiplied by 50",
    ),
}
BECOMES = {  # what the map becomes by each
    "road": "as before, nearly",
    "exchanged": "two columns have changed places",
    "repeated": "all rows are alike, but not even",
    "equal": "every weight is 0.25",
    "loud": "one column is close to 0 or to 1 in every row",
}
LETTERS = "PQRST"


def ask_4_2(draw: Draw) -> list[Question]:
    return [
        {
            "slots": sorted(draw.random.sample(range(4), 2)),
            "words": {name: draw.random.randrange(len(told)) for name, told in CHANGES.items()},
            "becomes": draw.random.sample(list(BECOMES), len(BECOMES)),
        }
    ]


def text_4_2(question: Question) -> str:
    i, j = question["slots"]
    changes = [
        f"- `{name}`: {CHANGES[name][number].format(i=i, j=j)}.\n"
        for name, number in question["words"].items()
    ]
    maps = [
        f"{letter}: {BECOMES[name]}."
        for letter, name in zip(LETTERS, question["becomes"], strict=True)
    ]
    return f"{''.join(changes)}\nWhich of these does the map become? {' '.join(maps)}"


def _letter(question: Question, name: str) -> str:
    """The letter of what the map becomes by the change `name`."""
    return LETTERS[question["becomes"].index(name)]


def letters(question: Question) -> dict:
    return {name: _letter(question, name) for name in CHANGES}


def _taken(name: str, other: str):
    """A mistake: the change `name` is said to do what `other` does."""
    return lambda question: {name: _letter(question, other)}


PREDICT_THE_MAP = Exercise(
    id="4.2",
    kind="predict",
    points=3,
    minutes=10,
    name="answer_4_2",
    ask=ask_4_2,
    book={
        "slots": [1, 2],
        "words": dict.fromkeys(CHANGES, 0),
        "becomes": ["road", "exchanged", "repeated", "equal", "loud"],
    },
    text=text_4_2,
    right=letters,
    also_right=(
        lambda q: {name: letter.lower() for name, letter in letters(q).items()},
        lambda q: {name: {letter} for name, letter in letters(q).items()},
    ),
    misconceptions={
        "(equal) Equal slots have equal keys. What does a softmax make of four equal scores, "
        "whoever asks?": _taken("equal", "repeated"),
        "(equal) Four equal slots do not leave the map as it was: nothing tells them apart any "
        "more.": _taken("equal", "road"),
        "(equal) No slot is preferred to another, if all slots are equal.": _taken("equal", "loud"),
        "(repeated) The tokens ask alike, but the slots still differ: one of them fits the "
        "question better than another.": _taken("repeated", "equal"),
        "(repeated) The position bias cannot part equal tokens: the mean of equal rows is that "
        "row, whatever the weights. So all four ask the same.": _taken("repeated", "road"),
        "(repeated) All four tokens ask alike, but they do not ask any louder than before.": _taken(
            "repeated", "loud"
        ),
        "(exchanged) The *answers* do not see the order of the slots. The map does: a slot takes "
        "its weights along.": _taken("exchanged", "road"),
        "(exchanged) The notes are all still there, and each token still finds the one that it "
        "asks for.": _taken("exchanged", "equal"),
        "(loud) No norm stands between a slot and its key. A slot many times as large has scores "
        "many times as large.": _taken("loud", "road"),
        "(loud) A token that asks against this slot sees its score fall, not rise: tokens differ "
        "here.": _taken("loud", "repeated"),
        "(loud) One slot is larger, and none has changed its place.": _taken("loud", "exchanged"),
        "(loud) One slot stands out now. Weights are even only where all scores are equal.": _taken(
            "loud", "equal"
        ),
        "(road) A norm stands between the road and the query, and it takes out size and "
        "mean.": _taken("road", "loud"),
        "(road) All tokens change in the same way, but they do not become the same: each still "
        "points in its own direction.": _taken("road", "repeated"),
    },
    tried="All five are right.",
)

# 4.3 Read only once?


def ask_4_3(draw: Draw) -> list[Question]:
    # Which layers read, of how many; padding, one token and one slot, no reading, no memory.
    cases = [(2, [1], 2, 3, 2), (3, [0, 2], 1, 1, 1), (1, [], 1, 2, 3), (1, [0], 1, 3, 0)]
    questions: list[Question] = []
    for depth, reads, b, n, k in cases:
        padding = torch.arange(n) < n - torch.arange(b)[:, None]
        questions.append(
            {
                "depth": depth,
                "reads": reads,
                "x": draw.normal(b, n, 4),
                "memory": draw.normal(b, k, 4) if k else None,
                "src_mask": padding if b > 1 else None,
                "gradients": b > 1,
            }
        )
    return questions


def use_4_3(SometimesReading, question):
    from memformer_lite.lab.using import with_gradients

    x, memory, src_mask = question["x"], question["memory"], question["src_mask"]
    sizes = {"heads": 2, "reads": tuple(question["reads"])}
    encoder = SometimesReading(x.shape[-1], question["depth"], **sizes).double()
    for _, parameter in sorted(encoder.requires_grad_(False).named_parameters()):
        parameter.normal_(std=0.5)  # the same for all, whatever was made first

    def real_rows(x, memory):
        out = encoder(x, context=memory, src_mask=src_mask)
        if out is None:
            raise NotImplementedError
        if src_mask is None or out.shape != x.shape:
            return out
        return out.masked_fill(~src_mask[..., None], 0.0)  # padding holds anything

    if question["gradients"]:
        return with_gradients(real_rows, x, memory)
    return real_rows(x, memory)


def _sometimes(forward):
    """A class whose `forward` is `forward(encoder, x, context, src_mask, pos_bias)`."""

    class SometimesReading(Encoder):
        def __init__(self, dim, depth, *, heads, reads):
            super().__init__(dim, depth, heads=heads)
            self.reads = reads

        def forward(self, x, context=None, src_mask=None):
            return forward(self, x, context, src_mask, self.rel_pos_emb(x.shape[1], x.shape[1]))

    return SometimesReading


def _reading(chosen):
    """A class in which the memory of layer `number` is `chosen(encoder, number, context)`."""

    def forward(encoder, x, context, src_mask, pos_bias):
        for number, layer in enumerate(encoder.layers):
            memory = chosen(encoder, number, context)
            x = layer(x, memory, pos_bias=pos_bias, query_mask=src_mask)
        return x

    return _sometimes(forward)


def _where(condition):
    """A class in which layer `number` reads if `condition(encoder, number)`."""
    return _reading(lambda encoder, i, context: context if condition(encoder, i) else None)


def _apart(encoder, x, context, src_mask, pos_bias, always=False):
    for i, layer in enumerate(encoder.layers):
        asking = layer.look_around_norm(x)
        x = x + layer.look_around(asking, pos_bias=pos_bias, query_mask=src_mask)
        memory = context if i in encoder.reads else None
        if always or memory is not None:
            x = x + layer.read(layer.read_norm(x), context=memory)
        x = x + layer.think(layer.think_norm(x))
    return x


def _always_reading(*inputs):
    return _apart(*inputs, always=True)


@_sometimes
def _tokens_read(encoder, x, context, src_mask, pos_bias):
    for i, layer in enumerate(encoder.layers):
        memory = context if i in encoder.reads else x
        x = layer(x, memory, pos_bias=pos_bias, query_mask=src_mask)
    return x


def _by_index(encoder, x, context, src_mask, pos_bias):
    for i in range(len(encoder.layers)):
        options = {"context": context} if i in set(encoder.reads) else {}
        x = encoder.layers[i](x, pos_bias=pos_bias, query_mask=src_mask, **options)
    return x


def _whole_layer_skipped(encoder, x, context, src_mask, pos_bias):
    for i, layer in enumerate(encoder.layers):
        if i in encoder.reads:
            x = layer(x, context, pos_bias=pos_bias, query_mask=src_mask)
    return x


def _memory_lost(encoder, x, context, src_mask, pos_bias):
    for i, layer in enumerate(encoder.layers):
        if i not in encoder.reads:
            context = None
        x = layer(x, context, pos_bias=pos_bias, query_mask=src_mask)
    return x


def _first_layer_only(encoder, x, context, src_mask, pos_bias):
    memory = context if 0 in encoder.reads else None
    return encoder.layers[0](x, memory, pos_bias=pos_bias, query_mask=src_mask)


def _every_layer_from_x(encoder, x, context, src_mask, pos_bias):
    for i, layer in enumerate(encoder.layers):
        memory = context if i in encoder.reads else None
        out = layer(x, memory, pos_bias=pos_bias, query_mask=src_mask)
    return out


def _without(*names):
    """A class whose layers are not given these options."""

    def forward(encoder, x, context, src_mask, pos_bias):
        options = {"pos_bias": pos_bias, "query_mask": src_mask}
        options = {name: value for name, value in options.items() if name not in names}
        for i, layer in enumerate(encoder.layers):
            x = layer(x, context if i in encoder.reads else None, **options)
        return x

    return _sometimes(forward)


READ_ONLY_ONCE = Exercise(
    id="4.3",
    kind="build",
    points=4,
    minutes=20,
    name="SometimesReading",
    ask=ask_4_3,
    use=use_4_3,
    right=_where(lambda encoder, i: i in encoder.reads),
    also_right=(_sometimes(_apart), _sometimes(_by_index)),
    misconceptions={
        "A layer that does not read is skipped as a whole. It still looks around and thinks: only "
        "its second exit is closed.": _sometimes(_whole_layer_skipped),
        "A layer that does not read looks around twice: `read` without a context takes the tokens "
        "themselves for keys.": _sometimes(_always_reading),
        "A layer that does not read is given a memory of zeros. An empty sheet still answers, with "
        "the biases; no memory is None.": _reading(
            lambda encoder, i, context: (
                context if context is None or i in encoder.reads else torch.zeros_like(context)
            )
        ),
        "A layer that does not read is given the memory times 0. An empty sheet still answers, "
        "with the biases; and no memory at all, None, cannot be multiplied.": _reading(
            lambda encoder, i, context: context * (i in encoder.reads)
        ),
        "A layer that does not read is given the tokens in place of a memory. No memory is "
        "None.": _tokens_read,
        "The layers that read nothing still change with the memory: all layers read.": _where(
            lambda encoder, i: True
        ),
        "No layer reads: does the memory reach the layers?": _where(lambda encoder, i: False),
        "Only the first layer reads, whatever `reads` holds.": _where(lambda encoder, i: i == 0),
        "It is the other layers that read: `reads` says which do, not which do not.": _where(
            lambda encoder, i: i not in encoder.reads
        ),
        "The layers are counted from 1: the first layer has the number 0.": _where(
            lambda encoder, i: i + 1 in encoder.reads
        ),
        "The first layers read, as many as `reads` has numbers. It says which they are.": _where(
            lambda encoder, i: i < len(encoder.reads)
        ),
        "All layers read as soon as one of them may. Ask it of each layer.": _where(
            lambda encoder, i: bool(encoder.reads)
        ),
        "Only one layer reads: `reads` may hold several numbers.": _where(
            lambda encoder, i: list(encoder.reads[:1]) == [i]
        ),
        "After a layer that does not read the memory is lost, and no later layer can read "
        "it.": _sometimes(_memory_lost),
        "Only the first layer is ever called: is `return` inside the loop?": _sometimes(
            _first_layer_only
        ),
        "Every layer starts from the same x: a layer goes on with what the last one "
        "returned.": _sometimes(_every_layer_from_x),
        "The layers are given neither mask nor position bias. Each call of a layer needs "
        "both.": _without("pos_bias", "query_mask"),
        "The layers are given no mask, so the tokens look at padding.": _without("query_mask"),
        "The layers are given no position bias, so the tokens do not know who stands "
        "where.": _without("pos_bias"),
    },
    tried="Values and gradients agree where late layers read, some, or none; with padding, with "
    "one token and one slot, and without a memory.",
)

# 4.4 Find the bug


def ask_4_4(draw: Draw) -> list[Question]:
    n = draw.random.choice((5, 6, 7))
    back = torch.arange(n) < n - draw.random.choice((2, 3))  # padding at the end
    every, front = torch.ones(n, dtype=torch.bool), back.flip(0)
    masks = {
        "a sound encoder": (every, back),
        "the colleague's encoder": (every, back),
        "a sound encoder, nothing padded": (every, every),
        "a sound encoder, padding in front": (front,),
        "an encoder that is deaf to the mask": (back, every),
        "an encoder in which a row sees the next": (back,),
        "an encoder in which a row sees the one before, padding in front": (front,),
        "an encoder in which a segment sees another's padding": (back, every),
        "an encoder in which padding, here zeros, adds": (back,),
        "an encoder in which padding, here zeros, takes away": (back,),
    }
    questions = []
    for encoder, rows in masks.items():
        mask = torch.stack(rows)
        x = draw.normal(*mask.shape, 4)
        if "zeros" in encoder:
            x = x * mask[..., None]
        questions.append({"encoder": encoder, "x": x, "src_mask": mask})
    return questions


def use_4_4(padding_leak, question):
    import torch

    from memformer_lite import Encoder

    kind, x = question["encoder"], question["x"]

    class Colleague(Encoder):
        def forward(self, x, context=None, src_mask=None):
            pos_bias = self.rel_pos_emb(x.shape[1], x.shape[1])
            for layer in self.layers:
                asking = layer.look_around_norm(x)
                x = x + layer.look_around(asking, pos_bias=pos_bias, query_mask=src_mask)
                x = x + layer.read(layer.read_norm(x), context=context)
                x = x + layer.think(layer.think_norm(x))
            return x

    class Suspect(torch.nn.Module):
        def forward(self, x, context=None, src_mask=None):
            real = torch.ones(x.shape[:2], dtype=torch.bool) if src_mask is None else src_mask
            tokens, padding = x * real[..., None], x * ~real[..., None]
            if "deaf" in kind:
                return x + x.sum(dim=1, keepdim=True)
            if "sound" in kind or context is not None:
                return x + tokens.sum(dim=1, keepdim=True)
            if "next" in kind:
                return x + torch.cat((x[:, 1:], torch.zeros_like(x[:, :1])), dim=1)
            if "before" in kind:
                return x + torch.cat((torch.zeros_like(x[:, :1]), x[:, :-1]), dim=1)
            if "another" in kind:  # the first row of padding, if there is one
                first = real.sum(dim=1).clamp(max=x.shape[1] - 1)
                return x + padding[torch.arange(len(x)), first][:, None].roll(1, 0)
            # One number a segment, so that what one of these two adds the other takes away.
            padded = (padding @ torch.tensor([1, 2, 3, 5], dtype=x.dtype)).sum(dim=1)[:, None, None]
            return x + padded if "adds" in kind else x - padded

    made = {"a sound encoder": Encoder, "the colleague's encoder": Colleague}.get(kind)
    encoder = made(x.shape[-1], 1, heads=2).double() if made else Suspect()
    change = padding_leak(encoder, x, question["src_mask"])
    if change is None:
        return None
    change = float(change.detach() if isinstance(change, torch.Tensor) else change)
    told = "0" if abs(change) < 1e-9 else "more than 0.001" if change > 0.001 else change
    return {f"the change in {kind}": told}


def padding_leak(encoder, x, src_mask):
    other = torch.where(src_mask[..., None], x, x + 1 + x**2)  # real rows as they are
    change = encoder(other, src_mask=src_mask) - encoder(x, src_mask=src_mask)
    return change[src_mask].abs().max().item()


@torch.no_grad()
def by_noise(encoder, x, src_mask):
    other = x.clone()
    other[~src_mask] = 10 * torch.randn_like(x[~src_mask])
    first, second = encoder(x, None, src_mask), encoder(other, None, src_mask)
    return (first - second).masked_fill(~src_mask[..., None], 0.0).norm()


def token_by_token(encoder, x, src_mask):
    largest = 0.0
    for segment, token in (~src_mask).nonzero().tolist():
        other = x.clone()
        other[segment, token] += torch.linspace(-1, 2, x.shape[-1], dtype=x.dtype)
        change = encoder(other, src_mask=src_mask) - encoder(x, src_mask=src_mask)
        largest = max(largest, change.abs().amax(dim=-1)[src_mask].max().item())
    return largest


def _leak(*, other=None, run=None, compare=None):
    """Padding changed, encoded, or compared in another way."""

    def mistaken(encoder, x, src_mask):
        real = src_mask[..., None]
        changed = other(x, real) if other else torch.where(real, x, x + 1 + x**2)
        encode = run or (lambda encoder, x, src_mask: encoder(x, src_mask=src_mask))
        change = encode(encoder, changed, src_mask) - encode(encoder, x, src_mask)
        return compare(change, src_mask) if compare else change[src_mask].abs().max()

    return mistaken


def _last_padding(x, real):
    other = x.clone()
    segments = torch.arange(x.shape[0])
    last = torch.where(real, -1, torch.arange(x.shape[1])[:, None]).amax(dim=(1, 2))
    other[segments, last] = x[segments, last].square() + 1 + x[segments, last]
    return torch.where(real, x, other)


def _other_mask(encoder, x, src_mask):
    change = encoder(x, src_mask=torch.ones_like(src_mask)) - encoder(x, src_mask=src_mask)
    return change[src_mask].abs().max()


def _as_many_rows(change, src_mask):
    return max(
        rows[:count].abs().max() for rows, count in zip(change, src_mask.sum(dim=1), strict=True)
    )


FIND_THE_BUG = Exercise(
    id="4.4",
    kind="detect",
    points=4,
    minutes=15,
    name="padding_leak",
    ask=ask_4_4,
    use=use_4_4,
    right=padding_leak,
    also_right=(by_noise, token_by_token),
    misconceptions={
        "Rows of padding are compared, too. They hold numbers without meaning, and may change in a "
        "sound encoder. Compare real rows only.": _leak(compare=lambda c, m: c.abs().max()),
        "You compare as many rows as are real, counted from the front. But padding may stand in "
        "front: `src_mask` says which rows are real.": _leak(compare=_as_many_rows),
        "The encoder is not told both times which rows are real, so it looks at the padding. Pass "
        "`src_mask` both times.": _leak(run=lambda encoder, x, m: encoder(x)),
        "You change the mask, not the padding: the same rows should be padding both times, and "
        "hold something else.": _other_mask,
        "The padding does not change: both times the encoder gets the same rows.": _leak(
            other=lambda x, real: x.clone()
        ),
        "The real rows change, so of course the result does. Only rows where `src_mask` is False "
        "may change.": _leak(other=lambda x, real: x + 1 + x**2),
        "You add the same number to a whole row. A LayerNorm takes it out again, so the fault of "
        "the colleague is not seen.": _leak(other=lambda x, real: torch.where(real, x, x + 1)),
        "You multiply the padding, or cut it off: where it holds zeros already, nothing changes. "
        "Put other numbers there.": _leak(other=lambda x, real: torch.where(real, x, -3 * x)),
        "You change the last row of padding only. A fault may let through another one.": _leak(
            other=_last_padding
        ),
        "The encoder is given a memory. With one it reads what it should; the fault appears "
        "without.": _leak(
            run=lambda encoder, x, m: encoder(x, context=torch.ones_like(x[:, :1]), src_mask=m)
        ),
        "You compare the first segment only. Each one has real rows.": _leak(
            compare=lambda c, m: c[0][m[0]].abs().max()
        ),
        "You compare the first real row of a segment only. The fault may show in another one, such "
        "as the one next to the padding.": _leak(
            compare=lambda c, m: c[torch.arange(len(m)), m.long().argmax(dim=1)].abs().max()
        ),
        "You compare only the segments that have padding. Padding may leak into another "
        "segment.": _leak(
            compare=lambda c, m: (c * (m & ~m.all(dim=1, keepdim=True))[..., None]).abs().max()
        ),
        "A fall counts like a rise: take the size of each difference, without its sign, before "
        "the largest.": _leak(compare=lambda c, m: c[m].max()),
        "You return 0 or False for what leaks and more for what is sound: the change is 0 where "
        "nothing leaks.": lambda encoder, x, m: float(padding_leak(encoder, x, m) < 1e-9),
    },
    tried="Ten encoders: sound ones, and leaks from the next row, from the row before, from "
    "another segment, up and down; with padding at the end, in front, of zeros, and none.",
)

EXERCISES = (OPEN_THE_LAYER, PREDICT_THE_MAP, READ_ONLY_ONCE, FIND_THE_BUG)
