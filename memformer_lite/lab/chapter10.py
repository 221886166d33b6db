"""Exercises of chapter 10: inside the memory."""

import torch
from torch import Tensor

from memformer_lite.experiments.records import load_record
from memformer_lite.lab.exercise import Draw, Exercise, Question

# 10.1 Read the chart


def chart(seed: str, slots: list[int], boxes: list[int], training: str) -> Question:
    """The gate of a measured training, (page, slot); its slots and boxes in another order."""
    run = load_record("slots")["cases"]["recipe"]["runs"][seed]["results"]
    rows = [run["gate_card"][box] for box in boxes] + [run["gate_noise"]]
    return {"training": training, "gate": [[round(row[s], 2) for s in slots] for row in rows]}


def ask_10_1(draw: Draw) -> list[Question]:
    while True:
        seed = draw.random.choice("0234")  # in each of these a box has a slot of its own
        slots, boxes = (draw.random.sample(range(4), 4) for _ in range(2))
        name = f"the training with seed {seed}, its slots and boxes named anew,"
        question = chart(seed, slots, boxes, name)
        given = [home(question), *(misread(question) for misread in MISREADINGS.values())]
        if all(given.count(answer) == 1 for answer in given):
            return [question]


def use_10_1(answer, question):
    # "m2" or "slot 2" says as much as 2.
    def number(slot):
        digits = "".join(filter(str.isdigit, slot)) if isinstance(slot, str) else ""
        return int(digits) if digits else slot

    return {box: number(slot) for box, slot in answer.items()}


def text_10_1(question: Question) -> str:
    rows = [
        f"| {page} | {' | '.join(f'{z:.2f}' for z in row)} |"
        for page, row in zip([*"ABCD", "noise"], question["gate"], strict=True)
    ]
    head = (
        f"The table shows the mean update gate of {question['training']} by the box whose card "
        "stands on the page; the last row is a page of noise."
    )
    return "\n".join([head, "", "| page | m1 | m2 | m3 | m4 |", "|---|---|---|---|---|", *rows])


def home(question: Question) -> dict:
    return {
        box: row.index(min(row)) + 1 for box, row in zip("ABCD", question["gate"], strict=False)
    }


def most_kept(question: Question) -> dict:
    return {
        box: row.index(max(row)) + 1 for box, row in zip("ABCD", question["gate"], strict=False)
    }


def by_slots(question: Question) -> dict:
    """The table read down its columns: the first slot's box, the second's, …"""
    columns = zip(*question["gate"][:4], strict=True)
    boxes = [column.index(min(column)) + 1 for column in columns]
    return dict(zip("ABCD", boxes, strict=True))


def most_open_on_noise(question: Question) -> dict:
    noise = question["gate"][4]
    return dict.fromkeys("ABCD", noise.index(min(noise)) + 1)


MISREADINGS = {
    "The gate keeps there: you took the largest number of each row. A slot with a gate near 1 "
    "has taken next to nothing from the page.": most_kept,
    "You read the table by its columns, the box of slot 1 first. The question goes by boxes: "
    "which slot opens on a page with A?": by_slots,
    "Your slots are counted from 0: in text and pictures the first slot is m1.": lambda q: {
        box: slot - 1 for box, slot in home(q).items()
    },
    "Nothing ties box A to slot 1, or B to slot 2: which slot gets which box differs from "
    "training to training. Read the table.": lambda q: {"A": 1, "B": 2, "C": 3, "D": 4},
    "A slot that opens a little on noise is no home: take the row of the box, not the last "
    "row.": most_open_on_noise,
}

READ_THE_CHART = Exercise(
    id="10.1",
    kind="predict",
    points=2,
    minutes=5,
    name="answer_10_1",
    ask=ask_10_1,
    use=use_10_1,
    book=chart("2", [0, 1, 2, 3], [0, 1, 2, 3], "the training with seed 2"),
    text=text_10_1,
    right=home,
    also_right=(
        lambda q: {box: f"m{slot}" for box, slot in home(q).items()},
        lambda q: {box.lower(): float(slot) for box, slot in home(q).items()},
    ),
    misconceptions=MISREADINGS,
    tried="All four homes are right.",
)

# 10.2 Where was something written?

# What the packaged model shows on 512 streams, with few exceptions: gates 0.16 to 0.7 with a card
# and above 0.9 without; changes around 3.5 with a card, but about 1 or less where the card says
# what the slot holds already, and up to 1 without a card.


def places(draw: Draw, wrote: Tensor) -> Question:
    """Gates and changes of slots that were written, or not."""

    def between(low, high):
        numbers = [draw.random.uniform(low, high) for _ in range(wrote.numel())]
        return torch.tensor(numbers, dtype=torch.float64).view(wrote.shape)

    def one_of(*ranges):
        which = draw.whole(0, len(ranges), *wrote.shape)
        return torch.stack([between(*r) for r in ranges]).gather(0, which[None])[0]

    gate = torch.where(
        wrote, one_of((0.16, 0.47), (0.57, 0.68)), one_of((0.91, 0.94), (0.975, 0.99))
    )
    # The second range of each: a card that is known already, and a slot that moves without any.
    change = torch.where(
        wrote, one_of((2.4, 5.0), (0.41, 0.49)), one_of((0.01, 0.29), (0.61, 0.79))
    )
    return {"gate": gate, "change": change}


def ask_10_2(draw: Draw) -> list[Question]:
    questions = [places(draw, draw.whole(0, 2, b, k).bool()) for b, k in ((5, 3), (2, 4))]
    questions += [places(draw, torch.full((2, 3), full)) for full in (True, False)]
    numbers = {  # one of each kind, and a gate that is quite closed
        "gate": [[0.22, 0.65, 0.98, 0.92, 1.0], [0.61, 0.31, 0.30, 0.98, 0.99]],
        "change": [[3.51, 0.42, 0.09, 0.71, 0.01], [2.67, 0.47, 4.61, 0.02, 0.63]],
    }
    questions.append({n: torch.tensor(v, dtype=torch.float64) for n, v in numbers.items()})
    questions.append({n: value[:1, :1] for n, value in questions[-1].items()})
    return questions


def use_10_2(written, question):
    return written(question["gate"], question["change"])


def written(gate, change):
    return gate < 0.8


def written_as_numbers(gate, change):
    return [[int(z <= 0.75) for z in row] for row in gate.tolist()]


def taken(gate, change):
    return (1 - gate).gt(0.15)


WHERE_WAS_SOMETHING_WRITTEN = Exercise(
    id="10.2",
    kind="detect",
    points=3,
    minutes=10,
    name="written",
    ask=ask_10_2,
    use=use_10_2,
    right=written,
    also_right=(written_as_numbers, taken),
    misconceptions={
        "Every slot moves a little, on every page: a change above 0 is no sign of a "
        "card.": lambda gate, change: change > 0,
        "Hardly a gate is quite 1: on pages of noise slots take a little as well.": (
            lambda gate, change: gate < 1
        ),
        "It is the wrong way round: z = 1 keeps, so a slot that was written has a low gate.": (
            lambda gate, change: gate > 0.8
        ),
        "Your line is on the change. A card that says what its slot already holds hardly moves it, "
        "and its gate opens all the same.": lambda gate, change: change > 1,
        "Your line is on the change, and low: slots without a card move that far as well. Which "
        "axis leaves the wider gap?": lambda gate, change: change > 0.35,
        "Your line on the gate is too low: a slot that was written may still keep more than half "
        "of what it held.": lambda gate, change: gate < 0.5,
        "Your line on the gate is too high: slots without a card open their gate by a few "
        "hundredths.": lambda gate, change: gate < 0.95,
        "You allow one slot a page: a page may have no card, or several.": (
            lambda gate, change: gate == gate.amin(dim=1, keepdim=True)
        ),
        "You compare a slot with the others of its page: where none was written, or all, one is "
        "still lower than the rest. The line stands at a fixed gate.": (
            lambda gate, change: gate < gate.mean(dim=1, keepdim=True)
        ),
        "You compare a slot with the other pages: the line stands at a fixed gate, and one place "
        "alone can be judged.": lambda gate, change: gate < gate.mean(dim=0),
        "You give one answer a page: expected one for each slot, (b, k).": lambda gate, change: (
            gate < 0.8
        ).any(dim=1),
        "It calls every place unwritten.": lambda gate, change: torch.zeros_like(gate).bool(),
    },
    tried="Every place of six sets of pages: with no card, with several, with a card known before.",
)

# 10.3 Forget A, keep B


def ask_10_3(draw: Draw) -> list[Question]:
    return [forgetting(draw, 13, (8, 3), False), forgetting(draw, 11, (3, 2), True)]


def forgetting(draw: Draw, width: int, values: tuple[int, int], alone: bool) -> Question:
    """Stories with some values of A, each with some of B; slot 4 is home of both.

    Args:
        width: of a slot; A takes seven directions of it, B the others.
        values: how many values of A, 8 at most, and of B the stories have.
        alone: whether a forgetting gets one story at a time.
    """
    directions = torch.linalg.qr(draw.normal(width, width))[0].T
    a = draw.normal(8, 7)
    a = 2 * (a - a.mean(dim=0)) @ directions[:7]  # eight points around 0 span seven directions
    b = draw.normal(values[1], width - 7) @ directions[7:]
    middle = draw.normal(width)
    slot = middle + a[: values[0], None] + b - b.mean(dim=0)
    others = draw.normal(values[0] * values[1], 3, width)
    mems = torch.cat((others, slot.view(-1, 1, width)), dim=1)
    return {"mems": mems, "of_A": middle + a, "values": values, "alone": alone}


def use_10_3(forget_A, question):
    import torch

    mems, of_A = question["mems"], question["of_A"]
    batches = mems.split(1) if question["alone"] else [mems]
    after = [forget_A(batch, of_A) for batch in batches]
    if after[0] is None:
        return None
    if after[0].shape != batches[0].shape:
        shapes = tuple(batches[0].shape), tuple(after[0].shape)
        raise ValueError("expected a whole memory of shape {}, got {}".format(*shapes))
    new = torch.cat(after)
    slot = new[:, 3].reshape(*question["values"], -1)
    return {
        "m1 to m3": new[:, :3],
        "the difference that A makes in m4": (slot - slot[:1]).round(decimals=8) + 0.0,
        "the difference that B makes in m4": (slot - slot[:, :1]).round(decimals=8) + 0.0,
    }


def forget_A(mems, of_A):
    middle = of_A.mean(dim=0)
    span = torch.linalg.svd(of_A - middle)[2][:7]  # (7, d), orthonormal rows
    mems = mems.clone()
    mems[:, 3] -= (mems[:, 3] - middle) @ span.T @ span
    return mems


def by_qr(mems, of_A):
    steps, _ = torch.linalg.qr((of_A[1:] - of_A[0]).T)  # (d, 7), from the first mean to the others
    m4 = mems[:, 3:]
    return torch.cat((mems[:, :3], m4 - m4 @ steps @ steps.T), dim=1)


def by_nearest_mean(mems, of_A):
    m4 = mems[:, 3]
    value = torch.cdist(m4, of_A).argmin(dim=1)
    m4 = m4 - of_A[value] + of_A.mean(dim=0)
    return torch.stack((*mems[:, :3].unbind(dim=1), m4), dim=1)


def by_least_squares(mems, of_A):
    steps = (of_A - of_A.mean(dim=0)).T  # (d, 8)
    m4 = mems[:, 3]
    return torch.cat((mems[:, :3], (m4 - m4 @ (steps @ torch.linalg.pinv(steps)))[:, None]), 1)


def _in_slot(change, slot=3):
    """A function of memories that changes one slot."""

    def forget(mems, of_A):
        mems = mems.clone()
        mems[:, slot] = change(mems[:, slot], of_A)
        return mems

    return forget


def _span(rows, count):
    return torch.linalg.svd(rows)[2][:count]


def _without(slot, span, middle=0):
    return slot - (slot - middle) @ span.T @ span


def _next_value(slot, of_A):
    value = torch.cdist(slot, of_A).argmin(dim=1)
    return slot - of_A[value] + of_A[(value + 1) % 8]


def _in_all_slots(mems, of_A):
    return _without(mems, _span(of_A - of_A.mean(dim=0), 7))


FORGET_A_KEEP_B = Exercise(
    id="10.3",
    kind="build",
    points=5,
    minutes=20,
    name="forget_A",
    ask=ask_10_3,
    use=use_10_3,
    right=forget_A,
    also_right=(by_qr, by_nearest_mean, by_least_squares),
    misconceptions={
        "B is lost as well: all of slot 4 goes, or all that differs in it. Take away only the "
        "directions in which its means for A differ.": _in_slot(lambda m, a: torch.zeros_like(m)),
        "A is alive: slot 4 still differs from one value of A to the next as it did.": _in_slot(
            lambda m, a: m
        ),
        "A is alive in part: you take away one direction. Eight means, less their common mean, "
        "span seven.": _in_slot(lambda m, a: _without(m, _span(a - a.mean(0), 1))),
        "A is not lost, it is another value now: two stories with other values of A should leave "
        "the same behind.": _in_slot(_next_value),
        "The directions are those of the means themselves, all eight: with the common mean one "
        "direction more goes, and B uses it. Take the common mean off first.": _in_slot(
            lambda m, a: _without(m, _span(a, 8))
        ),
        "The directions are those of the means themselves: one of the seven is spent on the common "
        "mean, and A keeps one of its own. Take the common mean off first.": _in_slot(
            lambda m, a: _without(m, _span(a, 7))
        ),
        "You keep what should go: A's directions are left, and all else of slot 4 is "
        "lost.": _in_slot(lambda m, a: m - _without(m, _span(a - a.mean(0), 7))),
        "The rows that you project on are not orthonormal: what is taken away is not what lies "
        "along them.": _in_slot(lambda m, a: _without(m, a - a.mean(0), a.mean(0))),
        "You change slot 1: A and B live in slot 4, whose number in code is 3.": _in_slot(
            lambda m, a: _without(m, _span(a - a.mean(0), 7)), slot=0
        ),
        "The other slots suffer: only slot 4 holds A.": _in_all_slots,
        "You take the common mean over the stories that you are given, and of one story alone "
        "nothing differs from it. The means of A have a common mean.": _in_slot(
            lambda m, a: _without(m, _span(a - a.mean(0), 7), m.mean(0))
        ),
    },
    tried="Stories with each value of A and some of B, together and one at a time.",
)

# 10.4 What may be said?

CLAIMS = {  # what may be said of found slot {0} and needed slot {1}, and whether it follows
    "found": ("Slot {0} holds {thing} in a form that a linear map can read.", True),
    "taken": ("The answers about {thing} are taken from slot {0}.", False),
    "hardly": ("Slot {1} hardly knows {thing}.", False),
    "need": ("In this model, the answers about {thing} need slot {1}.", True),
    "left out": ("Slot {0} could be left out of the model.", False),
    "enough": ("Slot {1} alone is enough for these answers.", False),
}
THINGS = ("the author", "the town", "the year", "the weather")


def ask_10_4(draw: Draw) -> list[Question]:
    found, needed = draw.random.sample(range(1, 8), 2)
    claims = draw.random.sample(list(CLAIMS), len(CLAIMS))
    return [
        {
            "found": found,
            "needed": needed,
            "thing": draw.random.choice(THINGS),
            "claims": claims,
        }
    ]


def use_10_4(answer, question):
    from memformer_lite.lab.using import letters

    return letters(answer, "abcdef"[: len(question["claims"])])


def text_10_4(question: Question) -> str:
    found, needed, thing = question["found"], question["needed"], question["thing"]
    lines = [
        f"A colleague's model has read stories about people. A probe on slot {found} finds {thing} "
        f"with 0.97 (shuffled labels: 0.10), one on slot {needed} with 0.30. Erasing slot "
        f"{found} changes no answer about {thing}, nor does transplanting it. Erasing slot "
        f"{needed} takes all of them. Which sentences follow?",
        "",
    ]
    for letter, claim in zip("abcdef", question["claims"], strict=True):
        lines.append(f"- ({letter}) " + CLAIMS[claim][0].format(found, needed, thing=thing))
    return "\n".join(lines)


def follows(question: Question) -> dict:
    return {
        letter: CLAIMS[claim][1] for letter, claim in zip("abcdef", question["claims"], strict=True)
    }


def _letters(question: Question) -> set[str]:
    return {letter for letter, true in follows(question).items() if true}


def _misjudged(claim):
    """A part alone: this sentence taken for what it is not."""
    return lambda q: {"abcdef"[q["claims"].index(claim)]: not CLAIMS[claim][1]}


WHAT_MAY_BE_SAID = Exercise(
    id="10.4",
    kind="choose",
    points=3,
    minutes=10,
    name="answer_10_4",
    ask=ask_10_4,
    use=use_10_4,
    book={"found": 2, "needed": 5, "thing": "the author", "claims": list(CLAIMS)},
    text=text_10_4,
    right=follows,
    also_right=(
        _letters,
        lambda q: ", ".join(sorted(_letters(q))),
        lambda q: [f"({letter.upper()})" for letter in _letters(q)],
    ),
    misconceptions={
        "What may be read off a slot: a probe with 0.97, against 0.10 with shuffled labels, "
        "measures just that.": _misjudged("found"),
        "Where answers are taken from: a probe does not tell. Our slot 1 knows D, and no answer is "
        "taken from it; here, too, erasing the slot changes nothing.": _misjudged("taken"),
        "What a slot hardly knows: a line is not everything. The probe finds little, and erasing "
        "shows that the slot is needed.": _misjudged("hardly"),
        "What the answers need: all of them go when the slot is erased. That is what erasing "
        "measures.": _misjudged("need"),
        "What could be left out: nobody asked about anything else than this one thing.": _misjudged(
            "left out"
        ),
        "What is enough: without the slot the answers go, so it is needed. Nobody has erased all "
        "the others.": _misjudged("enough"),
    },
    tried="Just what was measured, and no more.",
)

EXERCISES = (
    READ_THE_CHART,
    WHERE_WAS_SOMETHING_WRITTEN,
    FORGET_A_KEEP_B,
    WHAT_MAY_BE_SAID,
)
