"""Exercises of chapter 09: does it remember?"""

from statistics import mean

import torch

from memformer_lite.lab.exercise import Draw, Exercise, Question
from memformer_lite.learning.tasks import NOT_ASKED

# 9.1 Predict the capacity curve

RECALL = {"four": 0.43, "eight": 0.45}  # eight boxes, by slots: means of the record "capacity"
RANGES = {  # what may be believed of a model with slots for eight boxes
    "chance": (0.1, 0.2),
    "recorded": (0.3, 0.5),
    "rule of four": (0.5, 0.7),
    "rule of eight": (0.9, 1),
}


def ask_9_1(draw: Draw) -> list[Question]:
    ranges = list(RANGES)
    draw.random.shuffle(ranges)
    # Not eight boxes, as many as values: then nobody sees among which of them a guess is.
    boxes, slots = draw.random.choice(((5, 3), (6, 2), (6, 3), (6, 4), (7, 2), (7, 3)))
    return [{"boxes": boxes, "slots": slots, "ranges": ranges}]


def use_9_1(answer, question):
    return {
        part: value.strip(" ()") if isinstance(value, str) else value
        for part, value in answer.items()
    }


def text_9_1(question: Question) -> str:
    ranges = [
        f"({letter}) {RANGES[name][0]} to {RANGES[name][1]}"
        for letter, name in zip("abcd", question["ranges"], strict=True)
    ]
    return (
        '"rule", a number: if a slot holds one value, and the rest is guessed among eight values, '
        f'what do {question["slots"]} slots score with {question["boxes"]} boxes? "four" and '
        '"eight", letters: what was recorded with eight boxes in four slots and in eight, '
        f"{', '.join(ranges[:-1])} or {ranges[-1]}?"
    )


def capacity(question: Question) -> dict:
    known = question["slots"] / question["boxes"]
    ranges = {}
    for slots, score in RECALL.items():
        (name,) = (name for name, (low, high) in RANGES.items() if low <= score <= high)
        ranges[slots] = _letter(question, name)
    return {"rule": known + (1 - known) / 8} | ranges


def _letter(question: Question, name: str) -> str:
    return "abcd"[question["ranges"].index(name)]


PREDICT_THE_CAPACITY = Exercise(
    id="9.1",
    kind="predict",
    points=3,
    minutes=10,
    name="answer_9_1",
    ask=ask_9_1,
    use=use_9_1,
    book={"boxes": 6, "slots": 3, "ranges": list(RANGES)},
    text=text_9_1,
    right=capacity,
    also_right=(
        lambda q: capacity(q) | {"rule": round(capacity(q)["rule"], 2)},
        lambda q: capacity(q) | {s: f"({capacity(q)[s].upper()})" for s in RECALL},
    ),
    misconceptions={
        "rule: guesses count too. Of the boxes that no slot holds, one in eight is guessed "
        "right.": lambda q: {"rule": q["slots"] / q["boxes"]},
        "rule: only what no slot holds is guessed. You add a guess to every question.": lambda q: {
            "rule": q["slots"] / q["boxes"] + 1 / 8
        },
        "rule: a guess is among the values, not among the boxes.": lambda q: {
            "rule": (q["slots"] + (1 - q["slots"] / q["boxes"])) / q["boxes"]
        },
        "rule: the score is a share, from 0 to 1, not per cent.": lambda q: {
            "rule": 100 * capacity(q)["rule"]
        },
        "four: one value a slot is what finds room. Room is not skill: the test takes more pages "
        "than the training ever had.": lambda q: {"four": _letter(q, "rule of four")},
        "four: that is a model without memory. This one learned to keep a few cards.": lambda q: {
            "four": _letter(q, "chance")
        },
        "four: it would keep eight values in four slots, without a loss. Not even four boxes in "
        "four slots came so far.": lambda q: {"four": _letter(q, "rule of eight")},
        "eight: room is not skill. Did the training ever fill eight slots?": lambda q: {
            "eight": _letter(q, "rule of eight")
        },
        "eight: more slots help only if they were needed. How many cards does a story of six pages "
        "hold?": lambda q: {"eight": _letter(q, "rule of four")},
        "eight: that is a model without memory. More slots do no harm.": lambda q: {
            "eight": _letter(q, "chance")
        },
    },
    tried="The rule and both records.",
    tolerance=0.006,
)

# 9.2 Design a control

BOXES, VALUES, CARDS = 4, 8, 32


def _noise(draw: Draw) -> int:
    return draw.random.randrange(CARDS + BOXES, CARDS + BOXES + 4)


def _story(draw: Draw, pages: int, most: int, *, fresh: bool) -> list:
    """Return one story, a list of (tokens, answer), with up to `most` cards a page."""
    held: dict[int, int] = {}
    story = []
    for _ in range(pages):
        tokens = [_noise(draw) for _ in range(4)]
        news = {}
        for place in sorted(draw.random.sample(range(3), draw.random.randint(0, most))):
            box, value = draw.random.randrange(BOXES), draw.random.randrange(VALUES)
            tokens[place], news[box] = box * VALUES + value, value
        known = sorted(held.keys() | news if fresh else held.keys() - news)
        answer, held = NOT_ASKED, held | news
        if known and draw.random.random() < 0.8:
            box = draw.random.choice(known)
            tokens[3], answer = CARDS + box, held[box]
        story.append((tokens, answer))
    return story


def _by_hand(noise: int, pages: list) -> list:
    """Return a story of pages that are given as (cards, asked box)."""
    held: dict[int, int] = {}
    story = []
    for cards, asked in pages:
        tokens = [VALUES * box + value for box, value in cards] + [noise] * (3 - len(cards))
        held |= dict(cards)
        question, answer = (noise, NOT_ASKED) if asked is None else (CARDS + asked, held[asked])
        story.append(([*tokens, question], answer))
    return story


def ask_9_2(draw: Draw) -> list[Question]:
    a, b, c, d = draw.random.sample(range(BOXES), 4)
    v, w = 0, draw.random.randrange(1, VALUES)  # an answer of 0 is an answer
    asked = draw.random.randrange(1, BOXES)
    # Each page tempts to a mistake of its own: the same value in another box, a box named twice,
    # news without a question, a card in the second place, a token that is the box's number.
    pages = [([(a, v)], None), ([(b, v)], a), ([(b, w)], b), ([(b, v), (c, v), (d, w)], None)]
    pages += [([(c, w), (c, v)], c), ([], a), ([(a, w), (d, v)], d), ([(0, asked)], asked)]
    by_hand = _by_hand(_noise(draw), pages)
    short, silent = (_by_hand(_noise(draw), [([(d, v)], box)]) for box in (d, None))
    return [
        {"stories": [by_hand, short]},
        {"stories": [silent, by_hand, by_hand[:2]]},
        {"stories": [_story(draw, 6, 1, fresh=False) for _ in range(5)] + [by_hand[:2]]},
        {"stories": [_story(draw, 7, 3, fresh=True) for _ in range(5)] + [by_hand]},
    ]


def use_9_2(best_without_memory, question):
    return best_without_memory(question["stories"])


def best_without_memory(stories):
    right = []
    for story in stories:
        for tokens, answer in story:
            if answer != NOT_ASKED:
                written = {token // 8 for token in tokens[:3] if token < 32}
                right.append(1.0 if tokens[3] - 32 in written else 1 / 8)
    return mean(right)


def by_two_counts(stories):
    asked = [page for story in stories for page, answer in story if answer >= 0]
    told = sum(any(token // 8 == page[3] - 32 for token in page[:3]) for page in asked)
    return told / len(asked) + (1 - told / len(asked)) / 8


def by_tensors(stories):
    pages = [tokens for story in stories for tokens, _ in story]
    tokens = torch.tensor(pages)
    asked = (tokens[:, 3] >= CARDS) & (tokens[:, 3] < CARDS + BOXES)
    told = (tokens[:, :3] // VALUES == tokens[:, 3:] - CARDS).any(dim=1)
    return torch.where(told, 1.0, 1 / VALUES)[asked].mean()


def _by_page(told, *, asked=lambda answer: answer != NOT_ASKED, guess=1 / VALUES, unasked=None):
    """The control with another rule for when a page tells, or asks, or another worth of a guess."""

    def wrong(stories):
        scores = []
        for tokens, answer in (page for story in stories for page in story):
            if asked(answer):
                scores.append(1.0 if told(tokens, answer) else guess)
            elif unasked is not None:
                scores.append(unasked)
        return mean(scores)

    return wrong


def _cards(tokens):
    return {token // VALUES: token % VALUES for token in tokens[:3] if token < CARDS}


def _told_by(tokens, answer):
    return tokens[3] - CARDS in _cards(tokens)


def _with_notes(stories):
    right = []
    for story in stories:
        notes: dict[int, int] = {}
        for tokens, answer in story:
            notes |= _cards(tokens)
            if answer != NOT_ASKED:
                right.append(1.0 if notes.get(tokens[3] - CARDS) == answer else 1 / VALUES)
    return mean(right)


def _asked(story):
    return any(answer != NOT_ASKED for _, answer in story)


DESIGN_A_CONTROL = Exercise(
    id="9.2",
    kind="build",
    points=4,
    minutes=15,
    name="best_without_memory",
    ask=ask_9_2,
    use=use_9_2,
    right=best_without_memory,
    also_right=(by_two_counts, by_tensors),
    misconceptions={
        "Guesses count too: where the page does not tell, one in eight is right all the "
        "same.": _by_page(_told_by, guess=0.0),
        "Chance is too low here: some pages answer their own question.": _by_page(
            lambda tokens, answer: False
        ),
        "A guess is among eight values, not among four boxes.": _by_page(_told_by, guess=1 / BOXES),
        "You count pages that ask nothing as wrong: the mean is over asked pages.": _by_page(
            _told_by, unasked=0.0
        ),
        "You count pages that ask nothing as guessed: the mean is over asked pages.": _by_page(
            _told_by, unasked=1 / VALUES
        ),
        "You count pages that ask nothing as right: the mean is over asked pages.": _by_page(
            _told_by, unasked=1.0
        ),
        "Your reader has notes: it knows cards from earlier pages, and so everything.": _with_notes,
        "Any card on the page is enough for you: it must be one about the asked box.": _by_page(
            lambda tokens, answer: bool(_cards(tokens))
        ),
        "You look for the answer's value: a card about another box may have it, and the reader "
        "cannot know that it fits.": _by_page(
            lambda tokens, answer: answer in _cards(tokens).values()
        ),
        "You compare boxes with tokens: a card is 8 times its box and its value.": (
            _by_page(lambda tokens, answer: tokens[3] - CARDS in tokens[:3])
        ),
        "You look at the first place only: a card may stand in any of three.": (
            _by_page(lambda tokens, answer: tokens[0] // VALUES == tokens[3] - CARDS)
        ),
        "You take an answer of 0 for no question: no question is NOT_ASKED.": _by_page(
            _told_by, asked=lambda answer: answer > 0
        ),
        "`if answer` takes 0 for no question, and NOT_ASKED, which is -1, for one.": _by_page(
            _told_by, asked=bool
        ),
        "You take the mean of the stories' means: each asked page counts the same.": (
            lambda stories: mean(best_without_memory([s]) for s in stories if _asked(s))
        ),
        "You add a guess to all pages: what the page tells need not be guessed.": (
            lambda stories: _by_page(_told_by, guess=0.0)(stories) + 1 / VALUES
        ),
        "You return a sum: the accuracy is a share, from 0 to 1.": lambda stories: (
            best_without_memory(stories)
            * sum(answer != NOT_ASKED for story in stories for _, answer in story)
        ),
        "You return per cent: the accuracy is a share, from 0 to 1.": lambda stories: (
            100 * best_without_memory(stories)
        ),
    },
    tried="Four sets of stories: of one card a page, of several, and made by hand.",
)

# 9.3 Read an advertisement

AXIS = (
    "The axis does not begin at 0.",
    "One bar is seven times as high as the other, and its number is not even a tenth larger.",
)
PICKED = (
    "It is the best seed of one model against the worst of the other.",
    "It shows two runs of six, chosen by their result.",
)
SPREAD = (
    "Nothing shows how far the seeds of one model differ.",
    "Nobody can see from it whether two other runs would look the same.",
)
UNFAIR = (
    "The two models differ in their number of parameters.",
    "The model without memory was trained for fewer steps.",
    "The model without memory is the other one, erased while testing.",
)
INVENTED = (
    "The bits were measured on training images.",
    "The two numbers were never measured.",
)
KINDS = (AXIS, PICKED, SPREAD, UNFAIR, INVENTED)
TRUE = (AXIS, PICKED, SPREAD)


def ask_9_3(draw: Draw) -> list[Question]:
    claims = [draw.random.choice(kind) for kind in KINDS]
    draw.random.shuffle(claims)
    return [{"claims": claims}]


def use_9_3(answer, question):
    if isinstance(answer, str):
        words = answer.replace(",", " ").split()
        answer = list(answer) if len(words) == 1 else words
    return [part.strip(" ()") if isinstance(part, str) else part for part in answer]


def text_9_3(question: Question) -> str:
    lines = zip("abcde", question["claims"], strict=True)
    return "\n".join(f"- ({letter}) {claim}" for letter, claim in lines)


def _of(question: Question, *kinds) -> set[str]:
    """Return the letters of the claims of these kinds."""
    claims = {claim for kind in kinds for claim in kind}
    return {
        letter for letter, claim in zip("abcde", question["claims"], strict=True) if claim in claims
    }


READ_AN_ADVERTISEMENT = Exercise(
    id="9.3",
    kind="choose",
    points=2,
    minutes=10,
    name="answer_9_3",
    ask=ask_9_3,
    use=use_9_3,
    book={"claims": [AXIS[0], PICKED[0], UNFAIR[0], INVENTED[0], SPREAD[0]]},
    text=text_9_3,
    right=lambda q: _of(q, *TRUE),
    also_right=(
        lambda q: ", ".join(sorted(_of(q, *TRUE))),
        lambda q: [f"({letter.upper()})" for letter in sorted(_of(q, *TRUE))],
    ),
    misconceptions={
        "A twin is as large and is trained as long: it has all the parts of a memory and only "
        "resets what they carry. Look at the table.": lambda q: _of(q, *TRUE, UNFAIR),
        "The numbers are honest: 360 digits were kept for the test, and both bars stand in the "
        "record.": lambda q: _of(q, *TRUE, INVENTED),
        "Where does the axis begin? How high are the bars from 0?": lambda q: _of(
            q, PICKED, SPREAD
        ),
        "Why these two runs? Compare both numbers with the ranges in the table.": lambda q: _of(
            q, AXIS, SPREAD
        ),
        "Two bars, two runs: would two other runs look the same? The picture does not "
        "say.": lambda q: _of(q, AXIS, PICKED),
        "The axis is only the plainest trick. Which runs were chosen, and how far do others "
        "lie?": lambda q: _of(q, AXIS),
        "Not all of it: every number is real, and the two models differ in nothing but the "
        "memory.": lambda q: _of(q, *KINDS),
        "It is the other way round: models and numbers are honest, and the picture is "
        "not.": lambda q: _of(q, UNFAIR, INVENTED),
        "Both numbers are honest, and still the picture misleads. Look at axis, choice and "
        "spread.": lambda q: set(),
    },
    tried="Honest numbers, a dishonest picture.",
)

# 9.4 Find the leaking control

FORGETFUL = ("fresh", "erased", "unread", "neighbours")
CARRYING = ("detached", "two slots", "faint", "last page", "first page", "notes", "carried")


def ask_9_4(draw: Draw) -> list[Question]:
    questions = []
    for kind in FORGETFUL + CARRYING:
        b, k, d = draw.random.choice(((2, 4, 3), (3, 4, 2), (2, 5, 3)))
        questions.append(
            {
                "kind": kind,
                "mems": draw.normal(1, k, d).repeat(b, 1, 1),
                "pages": [draw.whole(0, 40, b, 4) for _ in range(3)],
                "table": draw.normal(40, d),
                "read_out": draw.normal(d, 8),
            }
        )
    return questions


def use_9_4(carries, question):
    import torch

    kind, table, start = question["kind"], question["table"], question["mems"].clone()
    slots = start.shape[1]
    share = torch.arange(1, slots + 1).to(start)[:, None] / (slots + 1)  # of the page, by slot
    notes = []  # what one of the readers keeps beside the memory

    def answer(tokens, mems):
        """A page's mean and the memory's mean give the answer; each slot is moved by the page."""
        page = table[tokens].mean(dim=1)
        after = mems + share * (page[:, None] - mems)
        return (page + mems.mean(dim=1)) @ question["read_out"], after

    def step(tokens, mems):
        first = start[:1].repeat(len(tokens), 1, 1)
        notes.append(table[tokens].mean())
        seen = {  # the memory that a page is answered from
            "detached": lambda: mems.detach(),
            "two slots": lambda: torch.cat((first[:, :2], mems[:, 2:]), dim=1),
            "faint": lambda: first + 1e-9 * (mems - first),
        }
        seen |= dict.fromkeys(("carried", "last page", "first page", "erased"), lambda: mems)
        logits, after = answer(tokens, seen.get(kind, lambda: first)())
        if kind == "neighbours":  # rows of the same page see each other
            logits = logits + logits.flip(0)
        if kind == "notes" and len(notes) > 1:
            logits = logits + notes[-2]
        if kind == "last page":  # each page starts anew, and the next one reads it
            after = answer(tokens, first)[1]
        if kind == "first page" and not torch.equal(mems, first):  # what is written once stays
            after = mems
        if kind == "unread":
            after = answer(tokens, mems)[1]
        return logits, first if kind in ("fresh", "erased", "notes") else after

    verdict = carries(step, question["mems"], question["pages"])
    return None if verdict is None else bool(verdict)


def carries(step, mems, pages):
    ends = []
    for earlier in (pages[:-1], [39 - page for page in pages[:-1]]):
        carried = mems
        for tokens in [*earlier, pages[-1]]:
            logits, carried = step(tokens, carried)
        ends.append(logits)
    return not torch.equal(*ends)


def _read(step, mems, pages):
    """Return the last page's logits and the memory after it."""
    for tokens in pages:
        logits, mems = step(tokens, mems)
    return logits, mems


def _other(page):
    return (page + 1) % 40


def page_by_page(step, mems, pages):
    """Change each earlier page in turn."""
    plain, _ = _read(step, mems, pages)
    for i in range(len(pages) - 1):
        changed = [*pages[:i], _other(pages[i]), *pages[i + 1 :]]
        if bool((_read(step, mems, changed)[0] - plain).abs().max() > 0):
            return True
    return False


def with_and_without(step, mems, pages):
    """The last page alone, and after the others."""
    alone, _ = step(pages[-1], mems)
    return bool((alone != _read(step, mems, pages)[0]).any())


def _by_gradient(step, mems, pages):
    first = mems.clone().requires_grad_()
    logits, _ = _read(step, first, pages)
    if not logits.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(logits.sum(), first, allow_unused=True)
    return gradient is not None and bool(gradient.any())


def _changed(*places, compare=0, same=torch.equal):
    """Two readings that differ in these pages; compare logits (0) or memories (1)."""

    def wrong(step, mems, pages):
        changed = list(pages)
        for place in places:
            changed[place] = _other(changed[place])
        ends = [_read(step, mems, stream)[compare] for stream in (pages, changed)]
        return not same(*ends)

    return wrong


def _not_passed_on(step, mems, pages):
    ends = []
    for earlier in (pages[:-1], [_other(page) for page in pages[:-1]]):
        for tokens in [*earlier, pages[-1]]:
            logits, _ = step(tokens, mems)
        ends.append(logits)
    return not torch.equal(*ends)


FIND_THE_LEAKING_CONTROL = Exercise(
    id="9.4",
    kind="detect",
    points=4,
    minutes=15,
    name="carries",
    ask=ask_9_4,
    use=use_9_4,
    right=carries,
    also_right=(page_by_page, with_and_without),
    misconceptions={
        "You test for a gradient: detaching cuts the gradient, not the numbers.": _by_gradient,
        "You compare memories: a memory that no answer reads does no harm. Compare what is "
        "answered.": _changed(0, 1, compare=1),
        "You look whether the memory moves: it may, if no answer depends on it.": (
            lambda step, mems, pages: not torch.equal(_read(step, mems, pages)[1], mems)
        ),
        "It is the other way round: True where something is carried.": (
            lambda step, mems, pages: not carries(step, mems, pages)
        ),
        "You compare only roughly: a faint trace is a trace. A reader without memory gives the "
        "same logits to the last digit.": _changed(0, 1, same=torch.allclose),
        "You change the first page only: one version remembers the page before, and no "
        "more.": _changed(0),
        "You change the page before the last only: one version keeps what it read first.": _changed(
            1
        ),
        "Your last pages differ too: then any reader's answers differ.": _changed(0, 1, -1),
        "You call every version forgetful: do your two streams differ before the last page?": (
            lambda step, mems, pages: False
        ),
        "You hand in another memory: asked is what comes from earlier pages, by whatever "
        "way.": lambda step, mems, pages: (
            not torch.equal(step(pages[-1], mems)[0], step(pages[-1], mems + 1.0)[0])
        ),
        "You hand the first memory to every page: pass on the one that came out.": _not_passed_on,
    },
    tried="Eleven versions: four forget, the others carry all, parts, or faint traces.",
)

EXERCISES = (
    PREDICT_THE_CAPACITY,
    DESIGN_A_CONTROL,
    READ_AN_ADVERTISEMENT,
    FIND_THE_LEAKING_CONTROL,
)
