"""Exercises of chapter 11: when memory fails."""

import math
from functools import cache

import torch

from memformer_lite.experiments.records import load_record
from memformer_lite.lab.exercise import Draw, Exercise, Question

# 11.1 Half-life


def ask_11_1(draw: Draw) -> list[Question]:
    return [
        {
            "gate": draw.random.choice((0.9, 0.95, 0.98, 0.99)),
            "bias": draw.random.choice((1, 1.5, 2, 3)),
            "pages": draw.random.choice((16, 32, 64, 128)),
        }
    ]


def use_11_1(answer, question):
    def number(value):
        try:
            return float(value)
        except (TypeError, ValueError):
            return value

    # Pages are whole numbers, and of the bias one digit after the point will do.
    given = {str(part).strip().lower(): number(value) for part, value in answer.items()}
    for part, value in given.items():
        if isinstance(value, float) and part in ("a", "b") and value % 1 > 0:
            given[part] = "not whole"
        elif isinstance(value, float) and part == "c":
            given[part] = round(value, 1)
    return given


def text_11_1(question: Question) -> str:
    return (
        f"(a) a gate that is always $z = {question['gate']}$; (b) a GRU whose weights are all 0, "
        f"with gate bias {question['bias']}. (c) Which gate bias would give that GRU a half-life "
        f"of {question['pages']} pages?"
    )


def sigmoid(bias: float) -> float:
    return 1 / (1 + math.exp(-bias))


def bias_of(gate: float) -> float:
    """The inverse of the sigmoid, to one digit."""
    return round(math.log(gate / (1 - gate)), 1)


def pages_until_half(gate: float) -> int:
    left, pages = 1.0, 0
    while left >= 0.5:
        left, pages = left * gate, pages + 1
    return pages


def half_lives(question: Question) -> dict:
    return {
        "a": pages_until_half(question["gate"]),
        "b": pages_until_half(sigmoid(question["bias"])),
        "c": bias_of(0.5 ** (1 / question["pages"])),
    }


HALF_LIFE = Exercise(
    id="11.1",
    kind="predict",
    points=3,
    minutes=10,
    name="answer_11_1",
    ask=ask_11_1,
    use=use_11_1,
    book={"gate": 0.9, "bias": 1, "pages": 64},
    text=text_11_1,
    right=half_lives,
    also_right=(
        lambda q: {part: float(value) for part, value in half_lives(q).items()},
        lambda q: {part.upper(): str(value) for part, value in half_lives(q).items()},
        lambda q: half_lives(q) | {"c": math.log(1 / (2 ** (1 / q["pages"]) - 1))},
    ),
    misconceptions={
        "(a) Each page takes its share of what is left. You took a share of the first content off "
        "on each page.": lambda q: {"a": round(0.5 / (1 - q["gate"]))},
        "(a) Is less than half left then? Take your power of the gate.": lambda q: {
            "a": half_lives(q)["a"] - 1
        },
        "(a) One page earlier less than half is left already.": lambda q: {
            "a": half_lives(q)["a"] + 1
        },
        "(a) z is the share that is kept, not the share that is lost.": lambda q: {"a": 1},
        "(a) Pages come one at a time: after how many whole pages is less than half "
        "left?": lambda q: {"a": "not whole"},
        "(b) A bias is not a gate: the gate is the sigmoid of the bias, below 1, so something "
        "goes on every page.": lambda q: {"b": math.inf},
        "(b) Is less than half left then? Multiply the gate by itself as often as you "
        "say.": lambda q: {"b": half_lives(q)["b"] - 1},
        "(b) One page earlier less than half is left already.": lambda q: {
            "b": half_lives(q)["b"] + 1
        },
        "(b) The sigmoid of the bias is what is kept, and the new content is 0. You kept one minus "
        "the gate.": lambda q: {"b": 1},
        "(b) Pages come one at a time, in the GRU as well: give a whole number.": lambda q: {
            "b": "not whole"
        },
        "(c) That is z, rounded. Which bias makes it? Invert the sigmoid.": lambda q: {"c": 1.0},
        "(c) z was rounded too early: between two digits after the point and three lie many "
        "pages.": lambda q: {"c": bias_of(round(0.5 ** (1 / q["pages"]), 2))},
        "(c) A bias below 0 gives a gate below one half, which forgets at once. Look at the sign "
        "of the logarithm.": lambda q: {"c": -half_lives(q)["c"]},
        "(c) You shared the half out over the pages, the same loss on each. Each page multiplies "
        "what is left: solve for a power of z.": lambda q: {"c": bias_of(1 - 0.5 / q["pages"])},
    },
    tried="Two half-lives and a bias are right.",
)

# 11.2 Find the cut

SUSPECTS = (
    *("way in", "list", "zero", "third", "late", "by turns"),  # these are cut
    *("whole", "faint", "one slot", "opposite", "blind at first", "at the end"),
)


def ask_11_2(draw: Draw) -> list[Question]:
    questions = []
    for kind in SUSPECTS:
        b, k, d = (1, 2, 1) if kind == "opposite" else draw.random.choice(((2, 3, 2), (1, 2, 3)))
        # The first page asks, one between does not, and the last one of a single suspect.
        asks = [True, True, True, True, kind == "opposite"]
        asks[draw.random.choice((1, 2))] = False
        questions.append(
            {
                "kind": kind,
                "mems": draw.normal(b, k, d),
                "weight": torch.eye(d) + 0.3 * draw.normal(d, d),
                "pages": [draw.normal(b, d) + 1 for _ in asks],
                "asks": asks,
            }
        )
    return questions


def use_11_2(is_cut, question):
    import torch

    kind, asks = question["kind"], question["asks"]
    weight = question["weight"].clone().requires_grad_()  # a part that each loss depends on
    calls = 0

    def step(segment, mems):
        nonlocal calls
        page, asked = segment
        number, calls = calls % len(asks) + 1, calls + 1
        if kind == "way in" or (kind == "late" and number == 4):
            mems = mems.detach()
        after = mems @ weight + page[:, None]
        seen = mems[:, :1] - mems[:, 1:2] if kind == "opposite" else after
        if kind == "blind at first" and number == 1:
            seen = page[:, None] @ weight
        loss = (seen * page[:, None]).sum() * (1e-12 if kind == "faint" else 1)
        if kind == "list":
            after = torch.tensor(after.tolist(), dtype=after.dtype)
        if kind == "zero":
            after = question["mems"] + 0 * after
        if (kind == "third" and number % 3 == 0) or (kind == "at the end" and number == 5):
            after = after.detach()
        if kind == "by turns" and number % 2:  # the first slot is carried on even pages only
            after = torch.cat((after[:, :1].detach(), after[:, 1:]), dim=1)
        elif kind == "by turns":
            after = torch.cat((after[:, :1], after[:, 1:].detach()), dim=1)
        if kind == "one slot":
            after = torch.cat((after[:, :-1].detach(), after[:, -1:]), dim=1)
        return (loss if asked else None), after

    mems = 1 * question["mems"].clone().requires_grad_()  # computed, as a learner's start is
    return is_cut(step, list(zip(question["pages"], asks, strict=True)), mems)


def is_cut(step, segments, mems):
    start, last = mems.detach().requires_grad_(), None
    state = start
    for segment in segments:
        loss, state = step(segment, state)
        last = last if loss is None else loss
    (gradient,) = torch.autograd.grad(last, start, allow_unused=True)
    return gradient is None or not gradient.any().item()


def by_backward(step, segments, mems):
    leaf = mems.detach().clone().requires_grad_(True)
    losses, state = [], leaf
    for segment in segments:
        loss, state = step(segment, state)
        losses += [] if loss is None else [loss]
    losses[-1].backward()
    return leaf.grad is None or bool((leaf.grad == 0).all())


def by_jacobian(step, segments, mems):
    def last_loss(state):
        last = None
        for segment in segments:
            loss, state = step(segment, state)
            last = loss if loss is not None else last
        return last

    return torch.autograd.functional.jacobian(last_loss, mems).abs().max() == 0


def _run(step, segments, mems, carry=True):
    """All losses that are there, the last memory, and the leaf that the run started with."""
    leaf = mems.detach().clone().requires_grad_()
    losses, state = [], leaf
    for segment in segments:
        loss, after = step(segment, state)
        state = after if carry else leaf
        losses += [] if loss is None else [loss]
    return losses, state, leaf


def _gradient(loss, leaf):
    (gradient,) = torch.autograd.grad(loss, leaf, allow_unused=True, materialize_grads=True)
    return gradient


def _from_gradient(says, which=-1, **options):
    """Say by the gradient of one loss."""

    def wrong(step, segments, mems):
        losses, _, leaf = _run(step, segments, mems, **options)
        return says(_gradient(losses[which], leaf))

    return wrong


def _nothing(gradient):
    return not gradient.any().item()


def _none_only(step, segments, mems):
    losses, _, leaf = _run(step, segments, mems)
    return torch.autograd.grad(losses[-1], leaf, allow_unused=True)[0] is None


def _sum_of_losses(step, segments, mems):
    losses, _, leaf = _run(step, segments, mems)
    return _nothing(_gradient(sum(losses), leaf))


def _two_pages(step, segments, mems):
    asked = [segment for segment in segments if step(segment, mems)[0] is not None]
    losses, _, leaf = _run(step, asked[:2], mems)
    return _nothing(_gradient(losses[-1], leaf))


def _last_page(step, segments, mems):
    state = start = mems.detach().clone().requires_grad_()
    for segment in segments:
        loss, state = step(segment, state)
    return _nothing(torch.autograd.grad(loss, start, allow_unused=True)[0])


def _last_page_backward(step, segments, mems):
    state = start = mems.detach().clone().requires_grad_()
    for segment in segments:
        loss, state = step(segment, state)
    loss.backward()
    return start.grad is None


def _graph_behind(step, segments, mems):
    _, state, _ = _run(step, segments, mems)
    return state.grad_fn is None


def _last_memory(step, segments, mems):
    _, state, leaf = _run(step, segments, mems)
    return _nothing(_gradient(state.sum(), leaf))


def _page_by_page(step, segments, mems):
    for segment in segments:
        leaf = mems.detach().clone().requires_grad_()
        _, mems = step(segment, leaf)
        if not mems.requires_grad or _nothing(_gradient(mems.sum(), leaf)):
            return True
    return False


def _unused_not_allowed(step, segments, mems):
    losses, _, leaf = _run(step, segments, mems)
    return _nothing(torch.autograd.grad(losses[-1], leaf)[0])


def _by_numbers(step, segments, mems):
    with torch.no_grad():
        one, other = (_run(step, segments, m)[0][-1] for m in (mems, mems + 0.01))
    return bool(one == other)


FIND_THE_CUT = Exercise(
    id="11.2",
    kind="detect",
    points=5,
    minutes=15,
    name="is_cut",
    ask=ask_11_2,
    use=use_11_2,
    right=is_cut,
    also_right=(by_backward, by_jacobian),
    misconceptions={
        "A gradient can be there and be 0 everywhere. Nothing is learned from that "
        "either.": _none_only,
        "You ask the sum of all losses: the first page reads the first memory itself, so its loss "
        "always depends on it. Ask the last loss alone.": _sum_of_losses,
        "You ask the first loss: the first page reads the first memory itself, and no cut lies "
        "between.": _from_gradient(_nothing, which=0),
        "You look at two pages only: a cut may come later. Use all the segments that you are "
        "given.": _two_pages,
        "The last page asks nothing, so its loss is None, and of None there is no gradient. Keep "
        "the last loss that is there.": _last_page,
        "The last page asks nothing, so its loss is None, and None has no backward. Keep the last "
        "loss that is there.": _last_page_backward,
        "You add the gradient up: parts of it may cancel. Is any number of it other than "
        "0?": _from_gradient(lambda g: g.sum().item() == 0),
        "You take a small gradient for none. It may be as faint as it likes: is it 0?": (
            _from_gradient(lambda g: g.abs().max().item() < 1e-6)
        ),
        "You ask for a gradient in every number: one slot that is carried is enough.": (
            _from_gradient(lambda g: not g.all().item())
        ),
        "You ask whether the last memory has a graph behind it: it may end at the weights. Does it "
        "reach the first memory?": _graph_behind,
        "You compare losses: a detached memory still hands on its numbers. Only the gradient "
        "knows.": _by_numbers,
        "You ask the last memory, and not the last loss: what nobody asks about any more may be "
        "cut, and a memory without a graph has no gradient at all.": _last_memory,
        "You ask each page alone: a page may let one slot through, and the next page another. Does "
        "the last loss reach the first memory?": _page_by_page,
        "A gradient that is not there raises an error, unless you allow it with allow_unused: here "
        "it is the very thing that you look for.": _unused_not_allowed,
        "You give each page the first memory: hand on what the step before returned.": (
            _from_gradient(_nothing, carry=False)
        ),
        "It is the wrong way round: True means cut.": _from_gradient(lambda g: g.any().item()),
        "It calls every suspect cut. Does the run begin with the very leaf whose gradient you ask "
        "for? A memory that was computed keeps no .grad.": lambda step, segments, mems: True,
        "It calls every suspect whole.": lambda step, segments, mems: False,
    },
    tried="Twelve suspects: cut once, by turns or on every page, and whole in all or in part.",
)

# 11.3 Five charts

CASES = {  # where a patient with each illness stands: record, case, seeds
    "rewriting": ("gap", "no fresh questions", "012"),
    "norm": ("gap", "feed-forward after the gate", "012"),
    "no gate": ("cards", "no gate", "012"),
    "twins": ("cards", "equal slots", "02"),  # seed 1 is restless, and could be either
    "detached": ("cards", "detached", "012"),
}
PATIENTS = ("I", "II", "III", "IV", "V")
COLUMNS = ("all four", "gap", "rewriting", "likeness", "change, card", "change, noise", "norm")


@cache
def results(illness: str, seed: str) -> list[float]:
    """The chart of one patient, to two digits; the norm takes two places, before and after."""
    record, case, _ = CASES[illness]
    run = load_record(record)["cases"][case]["runs"][seed]["results"]
    recall, norm = run["recall"], run["norm"]
    chart = [recall["0"], recall["64"], run["rewriting"], run["cosine"]]
    chart += [run["change_card"], run["change_noise"], norm["0"], norm["64"]]
    return [round(number, 2) + 0.0 for number in chart]


def ask_11_3(draw: Draw) -> list[Question]:
    order = draw.random.sample(list(CASES), len(CASES))
    return [{"charts": [results(name, draw.random.choice(CASES[name][2])) for name in order]}]


def text_11_3(question: Question) -> str:
    lines = [f"| | {' | '.join(COLUMNS)} |", "|" + "---|" * (len(COLUMNS) + 1)]
    for patient, chart in zip(PATIENTS, question["charts"], strict=True):
        *single, before, after = (
            f"{number:.2f}".replace("-", "\N{MINUS SIGN}") for number in chart
        )
        lines.append(f"| {patient} | {' | '.join(single)} | {before}, {after} |")
    return "\n".join(lines)


def illness_of(chart: list[float]) -> str:
    _, gap, _, likeness, card, noise, before, after = chart
    if gap > 0.9:  # all is well, but for one kind of question
        return "rewriting"
    if after > 1.5 * before:
        return "norm"
    if likeness > 0.99:
        return "no gate" if noise > card / 2 else "twins"
    return "detached"


def diagnoses(question: Question) -> dict:
    charts = zip(PATIENTS, question["charts"], strict=True)
    return {patient: illness_of(chart) for patient, chart in charts}


def _taken_for(illness, other):
    """A part alone: the patient with one illness, taken for one with another."""
    return lambda q: {p: other for p, name in diagnoses(q).items() if name == illness}


FIVE_CHARTS = Exercise(
    id="11.3",
    kind="predict",
    points=5,
    minutes=10,
    name="answer_11_3",
    ask=ask_11_3,
    book={"charts": [results(illness, "2") for illness in CASES]},
    text=text_11_3,
    right=diagnoses,
    also_right=(
        lambda q: {p.lower(): name.upper() for p, name in diagnoses(q).items()},
        lambda q: {p: [name] for p, name in diagnoses(q).items()},
    ),
    misconceptions={
        "Who has likeness 1 and moves on noise more than half as far as on a card is no twin: "
        "twins by their start still have a gate.": _taken_for("no gate", "twins"),
        "Who has likeness 1 and moves on noise much less than on a card has a gate: something "
        "keeps.": _taken_for("twins", "no gate"),
        "Whose norm climbs is not detached: what was never learned cannot recall nearly all of "
        "four boxes.": _taken_for("norm", "detached"),
        "Whose norm climbs answers well about rewritten boxes. What is lost is lost over the "
        "gap.": _taken_for("norm", "rewriting"),
        "Whose norm climbs has a gate: without one the slots would be alike, and move on noise "
        "more than half as far as on a card.": _taken_for("norm", "no gate"),
        "Who fails at rewriting alone is well in the norm: it does not climb, and nothing is lost "
        "over the gap.": _taken_for("rewriting", "norm"),
        "Who fails at rewriting alone is not detached: all four boxes are recalled, even over the "
        "gap.": _taken_for("rewriting", "detached"),
        "Who hardly reacts to a card is no twin here: the slots of twins have likeness 1.": (
            _taken_for("detached", "twins")
        ),
        "Who hardly reacts to a card moves nearly as far on noise, and has a gate all the same: "
        "without one the slots grow alike.": _taken_for("detached", "no gate"),
        "Who hardly reacts to a card has no climbing norm, and the notes are missing before any "
        "gap.": _taken_for("detached", "norm"),
        "Who has likeness 1 and reacts to a card more than to noise is not detached: a write that "
        "has not learned hardly reacts to anything.": _taken_for("twins", "detached"),
        "Who reacts to cards and to noise is not detached: a write that has not learned hardly "
        "reacts to anything.": _taken_for("no gate", "detached"),
    },
    tried="Five illnesses, all five recognised.",
)

# 11.4 Design the missing test

STREAMS = {  # what may be tested, and whether it differs in kind from what was trained
    "seed": ("the same streams with another seed", False),
    "same page": ("a question about {to} on the page with `{of}>{to}`", True),
    "gap": ("`{of}>{to}` after {pages} pages of noise", True),
    "other box": (
        "a question about {of} after `{of}>{to}`, if {of} was asked only before moves in training",
        True,
    ),
    "more": ("ten times as many of the same streams", False),
}


def ask_11_4(draw: Draw) -> list[Question]:
    of, to = draw.random.sample("ABCD", 2)
    pages = draw.random.choice((32, 64, 128))
    streams = draw.random.sample(list(STREAMS), len(STREAMS))
    return [{"of": of, "to": to, "pages": pages, "streams": streams}]


def use_11_4(answer, question):
    from memformer_lite.lab.using import letters

    return letters(answer, "abcde"[: len(question["streams"])])


def text_11_4(question: Question) -> str:
    names = {name: question[name] for name in ("of", "to", "pages")}
    of, to = question["of"], question["to"]
    streams = "; ".join(
        f"({letter}) {STREAMS[stream][0].format(**names)}"
        for letter, stream in zip("abcde", question["streams"], strict=True)
    )
    return (
        f"A colleague's task has pages that *move* a card: `{of}>{to}` means that box {to} now "
        f"holds what {of} held. Training and test ask on later pages only. Which of these streams "
        f"would show an illness that the colleague's test cannot? {streams}."
    )


def shows(question: Question) -> dict:
    return {
        letter: STREAMS[stream][1]
        for letter, stream in zip("abcde", question["streams"], strict=True)
    }


def _letters(question: Question) -> set[str]:
    return {letter for letter, true in shows(question).items() if true}


def _misjudged(stream):
    """A part alone: this stream taken for what it is not."""
    return lambda q: {"abcde"[q["streams"].index(stream)]: not STREAMS[stream][1]}


DESIGN_THE_MISSING_TEST = Exercise(
    id="11.4",
    kind="choose",
    points=3,
    minutes=10,
    name="answer_11_4",
    ask=ask_11_4,
    use=use_11_4,
    book={"of": "A", "to": "B", "pages": 64, "streams": list(STREAMS)},
    text=text_11_4,
    right=shows,
    also_right=(
        _letters,
        lambda q: " ".join(sorted(_letters(q))),
        lambda q: tuple(letter.upper() for letter in _letters(q)),
    ),
    misconceptions={
        "Another seed is more of the same: it draws other boxes and values of the same kind, and "
        "in training each stream is new anyway.": _misjudged("seed"),
        "More streams are more of the same: they give the same number, with more digits.": (
            _misjudged("more")
        ),
        "A question on the page that moves: when it is read, has the move been written? Nobody "
        "asked that in training.": _misjudged("same page"),
        "A move after a long gap: who never had to keep a note for so long may have lost it. The "
        "distance is of another kind.": _misjudged("gap"),
        "A box that was never asked after a move: think of P, which was perfect on all that it was "
        "ever asked.": _misjudged("other box"),
    },
    tried="Each of them differs in kind from what was trained.",
)

EXERCISES = (
    HALF_LIFE,
    FIND_THE_CUT,
    FIVE_CHARTS,
    DESIGN_THE_MISSING_TEST,
)
