"""Exercises of chapter 08: replay."""

import torch

from memformer_lite.lab.exercise import Draw, Exercise, Question
from memformer_lite.replay import bptt_backward, replay_backward

# 8.1 Replay for one number


def ask_8_1(draw: Draw) -> list[Question]:
    questions = [
        {"a": 0.5, "m0": 2.0, "news": [1.0, 2.0, 3.0]},  # the chain of the chapter
        {"a": 0.7, "m0": -1.5, "news": [2.0]},
        {"a": 0.0, "m0": 3.0, "news": [5.0, 0.5]},
        {"a": 1.0, "m0": 0.0, "news": [0.3, -2.0, 1.1, 0.4]},
        {"a": -1.3, "m0": 0.9, "news": [0.2, 1.7, -0.6, 1.0, 2.3]},
    ]
    for pages in (2, 7):
        a = draw.random.choice((0.3, 0.6, 0.9, 1.1, -0.4, -0.8))
        m0, *news = draw.normal(1 + pages).tolist()
        questions.append({"a": a, "m0": m0, "news": news})
    return questions


def use_8_1(scalar_replay, question):
    import torch

    try:
        with torch.inference_mode():  # here autograd keeps nothing
            result = scalar_replay(*question.values())
    except RuntimeError as fault:
        if "grad" in str(fault) or "Inference tensor" in str(fault):
            return "done by autograd"
        raise
    if hasattr(result, "tolist"):
        result = result.tolist()
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        return result
    return dict(
        zip(("the loss", "the derivative by a", "the derivative by m0"), result, strict=True)
    )


def scalar_replay(a, m0, news):
    notes, by_a = _read(a, m0, news), 0.0
    gradient = 2 * notes[-1]
    for note in reversed(notes[:-1]):
        by_a += gradient * note
        gradient *= a
    return notes[-1] ** 2, by_a, gradient


def page_by_page(a, m0, news):
    """The first page, and the rest of the story by the same function."""

    def rest(note, index):
        """Loss, derivative by a, and the gradient at the note before page `index`."""
        if index == len(news):
            return note * note, 0.0, 2.0 * note
        loss, by_a, gradient = rest(a * note + news[index], index + 1)
        return loss, by_a + gradient * note, gradient * a

    return rest(m0, 0)


def by_powers(a, m0, news):
    notes, count = _read(a, m0, news), len(news)
    last = notes.pop()
    shares = [2 * last * a ** (count - 1 - t) * note for t, note in enumerate(notes)]
    return [last**2, sum(shares), 2 * last * a**count]


def _read(a, m0, news):
    notes = [m0]
    for x in news:
        notes.append(a * notes[-1] + x)
    return notes


def _walk_back(start=lambda notes: 2 * notes[-1], loss=lambda notes: notes[-1] ** 2, pages=None):
    """Replay with another start, another loss, or another way through the pages."""

    def replay(a, m0, news):
        notes = _read(a, m0, news)
        way = pages or (lambda a, g, notes: _shares(a, g, notes[-2::-1]))
        return loss(notes), *way(a, start(notes), notes)

    return replay


def _shares(a, gradient, notes):
    by_a = 0.0
    for note in notes:
        by_a += gradient * note
        gradient *= a
    return by_a, gradient


def _shares_too_late(a, gradient, notes):
    by_a = 0.0
    for note in notes[-2::-1]:
        gradient *= a
        by_a += gradient * note
    return by_a, gradient


def _last_share(a, gradient, notes):
    by_a = 0.0
    for note in notes[-2::-1]:
        by_a = gradient * note
        gradient *= a
    return by_a, gradient


def _loss_everywhere(a, gradient, notes):
    by_a = 0.0
    for place in range(len(notes) - 2, -1, -1):
        by_a += gradient * notes[place]
        gradient = gradient * a + (2 * notes[place] if place else 0.0)
    return by_a, gradient


def _by_news(a, m0, news):
    loss, _, gradient = scalar_replay(a, m0, news)
    return loss, _shares(a, 2 * _read(a, m0, news)[-1], reversed(news))[0], gradient


def _by_division(a, m0, news):
    loss, _, first = scalar_replay(a, m0, news)
    by_a, gradient = 0.0, first
    for note in _read(a, m0, news)[:-1]:  # forwards: what came from the right is computed back
        gradient /= a
        by_a += gradient * note
    return loss, by_a, first


def _by_autograd(a, m0, news):
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (a, m0)]
    loss = _read(*leaves, news)[-1] ** 2
    return loss.item(), *(g.item() for g in torch.autograd.grad(loss, leaves))


REPLAY_FOR_ONE_NUMBER = Exercise(
    id="8.1",
    kind="build",
    points=3,
    minutes=10,
    name="scalar_replay",
    ask=ask_8_1,
    use=use_8_1,
    right=scalar_replay,
    also_right=(page_by_page, by_powers),
    misconceptions={
        "The gradient is handed back before it is used: page t adds the gradient at its end times "
        "the note at its start.": _walk_back(pages=_shares_too_late),
        "Each page's share takes the note at its end: what is multiplied by a is the note at its "
        "start.": _walk_back(pages=lambda a, g, notes: _shares(a, g, notes[:0:-1])),
        "Only the last page counts for a: hand the gradient on, and each page before adds its "
        "share.": _walk_back(
            pages=lambda a, g, notes: (g * notes[-2], _shares(a, g, notes[-2::-1])[1])
        ),
        "The last page adds nothing: it has a share as well, the first that is added.": _walk_back(
            pages=lambda a, g, notes: _shares(a, g * a, notes[-3::-1])
        ),
        "Each page's share takes the news: the derivative of a times the note, by a, is the note, "
        "and the news falls away.": _by_news,
        "Each page's share replaces the one before: shares are added up.": _walk_back(
            pages=_last_share
        ),
        "The walk back ends one page early: page 1 adds a share as well, and hands the gradient on "
        "to m0.": _walk_back(pages=lambda a, g, notes: _shares(a, g, notes[-2:0:-1])),
        "The share of a is right, and the gradient stops at m1: page 1 multiplies it by a once "
        "more.": _walk_back(
            pages=lambda a, g, notes: (
                _shares(a, g, notes[-2::-1])[0],
                _shares(a, g, notes[-2:0:-1])[1],
            )
        ),
        "The gradient arrives at every page as large as it started: each page hands back a times "
        "what it got.": _walk_back(pages=lambda a, g, notes: (g * sum(notes[:-1]), g)),
        "The pages are walked from the first to the last: the gradient comes from the loss, so the "
        "last page is the first to get it.": _walk_back(
            pages=lambda a, g, notes: _shares(a, g, notes[:-1])
        ),
        "The walk starts with the note: the derivative of a square is twice the "
        "number.": _walk_back(start=lambda notes: notes[-1]),
        "The walk starts with the loss: it starts with the derivative of the loss by the last "
        "note.": _walk_back(start=lambda notes: notes[-1] ** 2),
        "The walk starts with 1: that is the derivative of the last note, and the loss is its "
        "square.": _walk_back(start=lambda notes: 1.0),
        "The loss is the square of the last note, not the note.": _walk_back(
            loss=lambda notes: notes[-1]
        ),
        "Every page has a loss of its own here: there is one, behind the last page.": _walk_back(
            loss=lambda notes: sum(note**2 for note in notes[1:]), pages=_loss_everywhere
        ),
        "The numbers are right and stand in another order: the loss, the derivative by a, the "
        "derivative by m0.": lambda a, m0, news: (
            *scalar_replay(a, m0, news)[::2],
            scalar_replay(a, m0, news)[1],
        ),
        "It returns the loss alone: three numbers are asked for, the loss and two "
        "derivatives.": lambda a, m0, news: _read(a, m0, news)[-1] ** 2,
        "It returns the same three numbers for every story: compute them from a, m0 and the "
        "news.": lambda a, m0, news: (20.25, 40.5, 1.125),
        "It divides by a, and a may be 0. The way back only multiplies.": _by_division,
        "Autograd does it for you, and keeps the graph of every page: here it is switched off. "
        "Keep the notes and nothing else.": _by_autograd,
    },
    tried="Seven stories agree, of one page and of seven, with a below 0, at 0, at 1 and beyond.",
    forbids=("replay_backward", "bptt_backward"),
)

# 8.2 Three broken replays

COLLEAGUES = {  # how a replay is written, and what is wrong with it
    "package": "right",
    "by hand": "right",
    "detached": "detached",
    "not handed back": "not handed back",
    "one die more": "other dice",
    "never the same": "other dice",
}


def ask_8_2(draw: Draw) -> list[Question]:
    questions = []
    for kind in COLLEAGUES:
        k, d = draw.random.choice(((5, 7), (7, 5), (6, 7)))
        weights = {"memory_slots": draw.normal(k, d)}
        weights |= {f"{part}.weight": draw.normal(d, d) for part in ("encoder", "memory_writer")}
        questions.append({"kind": kind, "weights": weights, "pages": draw.normal(3, k, d)})
    return questions


def use_8_2(diagnose, question):
    from itertools import count

    import torch

    from memformer_lite import bptt_backward, replay_backward

    seed = torch.default_generator.manual_seed  # torch.manual_seed looks at all devices: slow

    def trial(backward, dropout=0.0, pages=2):
        w = {name: x.clone().requires_grad_() for name, x in question["weights"].items()}

        def step(page, mems):
            read = torch.addmm(mems, page, w["encoder.weight"]).tanh()
            read = torch.dropout(read, dropout, train=True) if dropout else read
            return read.norm(), read @ w["memory_writer.weight"]

        seed(2)
        story = [question["pages"][page % 3] for page in range(pages)]
        loss, mem = backward(step, story, w["memory_slots"].clone())
        return {"loss": loss, "mem": mem} | {name: x.grad for name, x in w.items()}

    calls = count(10)

    def loaded(step, throw):
        def loaded_step(page, mems):
            if torch.is_grad_enabled():
                throw()
            return step(page, mems)

        return loaded_step

    def one_die_more(step, pages, mems):
        return replay_backward(loaded(step, lambda: torch.rand(1)), pages, mems)

    def never_the_same(step, pages, mems):
        # It reports loss and memory of the true story, and learns from another one.
        before, total, mem = torch.get_rng_state(), 0.0, mems.detach()
        with torch.no_grad():
            for page in pages:
                loss, mem = step(page, mem)
                total = total + loss
        torch.set_rng_state(before)
        replay_backward(loaded(step, lambda: seed(next(calls))), pages, mems)
        return total, mem

    def by_hand(step, pages, mems):
        starts, dice = [mems], []
        with torch.no_grad():
            for page in pages:
                dice.append(torch.get_rng_state())
                starts.append(step(page, starts[-1])[1])
        total, handed, after = 0.0, torch.zeros_like(mems), torch.get_rng_state()
        for index in reversed(range(len(pages))):
            start = starts[index].detach().requires_grad_() if index else mems
            torch.set_rng_state(dice[index])
            loss, end = step(pages[index], start)
            loss.backward(retain_graph=True)
            end.backward(handed)
            total, handed = total + loss.detach(), start.grad if index else None
        torch.set_rng_state(after)
        return total, starts[-1]

    def not_handed_back(step, pages, mems):
        return bptt_backward(step, pages, mems, detach_every=1)

    def detached(step, pages, mems):
        return replay_backward(step, pages, mems.detach())

    colleagues = {
        "package": replay_backward,
        "by hand": by_hand,
        "detached": detached,
        "not handed back": not_handed_back,
        "one die more": one_die_more,
        "never the same": never_the_same,
    }
    return diagnose(colleagues[question["kind"]], trial)


def diagnose(replay, trial):
    if verdict := _missing(trial(replay)):
        return verdict
    found, wanted = trial(replay, dropout=0.2), trial(bptt_backward, dropout=0.2)
    return "right" if _near(found, wanted) else "other dice"


def by_differences(replay, trial):
    """No gradient at all is a gradient of 0: only numbers are compared."""
    found, wanted = trial(replay), trial(bptt_backward)
    wrong = [name for name in _gradients(wanted) if not _near(found, wanted, name)]
    if wrong:
        return "detached" if wrong == ["memory_slots"] else "not handed back"
    found, wanted = trial(replay, 0.5), trial(bptt_backward, 0.5)
    return "right" if _near(found, wanted) else "other dice"


def dice_first(replay, trial):
    """With dice of its own it is right about nothing but what it lacks."""
    found, wanted = trial(replay, dropout=0.4), trial(bptt_backward, dropout=0.4)
    if _near(found, wanted):
        return "right"
    return _missing(found) or "other dice"


def _gradients(found):
    return [name for name in found if name not in ("loss", "mem")]


def _missing(found, writer="memory_writer", slots="memory_slots"):
    """What a missing gradient says, or None."""
    if all(found[name] is None for name in _gradients(found) if name.startswith(writer)):
        return "not handed back"
    return "detached" if found[slots] is None else None


def _near(found, wanted, *names, exactly=False):
    """Say whether gradients agree; one that is missing is 0."""
    for name in names or _gradients(wanted):
        one, other = (torch.zeros(1) if x[name] is None else x[name] for x in (found, wanted))
        one, other = torch.broadcast_tensors(one.double(), other.double())
        limit = 0.0 if exactly else 1e-10 * (1 + other.norm().item())
        if (one - other).norm().item() > limit:
            return False
    return True


def _diagnose(dice, missing=_missing):
    """A diagnosis that judges the dice otherwise, or the missing gradients."""

    def diagnose(replay, trial):
        verdict = missing(trial(replay))
        return verdict or ("right" if dice(replay, trial) else "other dice")

    return diagnose


def _with_dropout(replay, trial):
    return _near(trial(replay, dropout=0.2), trial(bptt_backward, dropout=0.2))


def _one_name(name):
    return lambda found: name if _missing(found) else None


def _swapped(found):
    names = {"detached": "not handed back", "not handed back": "detached", None: None}
    return names[_missing(found)]


def _dropout_only(replay, trial):
    return "right" if _with_dropout(replay, trial) else "other dice"


THREE_BROKEN_REPLAYS = Exercise(
    id="8.2",
    kind="detect",
    points=5,
    minutes=20,
    name="diagnose",
    ask=ask_8_2,
    use=use_8_2,
    right=diagnose,
    also_right=(by_differences, dice_first),
    misconceptions={
        "You never turn dropout on: other dice show only where dice are thrown.": _diagnose(
            lambda replay, trial: True
        ),
        "You compare the losses: one colleague reports the right loss, and its gradients are "
        "those of another story. Compare gradients.": _diagnose(
            lambda replay, trial: (
                (trial(replay, 0.2)["loss"] - trial(bptt_backward, 0.2)["loss"]).abs() < 1e-10
            )
        ),
        "You ask for the same bits: gradients added up in another order differ in their last "
        "digits. Allow a relative error of 1e-10.": _diagnose(
            lambda replay, trial: _near(trial(replay, 0.2), trial(bptt_backward, 0.2), exactly=True)
        ),
        "You compare a replay with itself: it may throw the same wrong dice both times. Compare it "
        "with BPTT.": _diagnose(
            lambda replay, trial: _near(trial(replay, dropout=0.2), trial(replay, dropout=0.2))
        ),
        "You compare gradients with dropout to gradients without: they differ for everyone. "
        "Both need the same dropout.": _diagnose(
            lambda replay, trial: _near(trial(replay, dropout=0.2), trial(bptt_backward))
        ),
        'Every gradient that is missing is "detached" for you. Which part of the model has none: '
        "the slots, or the writer?": _diagnose(_with_dropout, _one_name("detached")),
        'Every gradient that is missing is "not handed back" for you. Which part of the model has '
        "none: the slots, or the writer?": _diagnose(_with_dropout, _one_name("not handed back")),
        "The two names are exchanged: from a detached start the slots get nothing, and the writer "
        "learns from all pages but the last.": _diagnose(_with_dropout, _swapped),
        "You look for other dice first: with dropout on, every fault shows as a difference. Rule "
        "out the missing gradients before.": _dropout_only,
        "You try one page: what is written on it is never read, so nobody's writer gets a "
        "gradient.": lambda replay, trial: _missing(trial(replay, pages=1)) or "right",
        'You do not look at the slots: a detached start is "right" for you.': _diagnose(
            lambda r, t: "detached" in str(_missing(t(r))) or _with_dropout(r, t),
            lambda found: _missing(found) if _missing(found) != "detached" else None,
        ),
        "You take a detached start for other dice: a missing gradient is None, and needs no dice "
        "to be seen.": _diagnose(
            _with_dropout,
            lambda found: _missing(found) if found["memory_slots"] is not None else None,
        ),
        "You take a replay that hands nothing back for other dice: a missing gradient is None. "
        "Does the writer have one?": _diagnose(
            _with_dropout, lambda found: None if found["memory_slots"] is not None else "detached"
        ),
        "You say whether a replay is right, True or False. Asked is the fault, as a "
        "text.": lambda replay, trial: _with_dropout(replay, trial),
        "You call every replay right: does your function look at the gradients?": lambda r, t: (
            "right"
        ),
    },
    tried="Six colleagues: two right, two cut, two with other dice.",
)

# 8.3 Repair the dice

SEEDS = {  # what the generator is seeded with: page, pass, and how often the step was called
    "the number of the page": lambda page, once, call: page,
    "the number of the pass of training": lambda page, once, call: once,
    "the number 7": lambda page, once, call: 7,
    "1,000 times the number of the pass plus the number of the page": lambda page, once, call: (
        1000 * once + page
    ),
    "the number of calls so far": lambda page, once, call: call,
}
FAULTS = {
    "gradient": "replay's gradient is not that of the loss",
    "passes": "every pass of training drops the same numbers on a page, so that some are never "
    "trained there",
    "pages": "the pages of one pass drop correlated numbers",
}


def ask_8_3(draw: Draw) -> list[Question]:
    faults = draw.random.sample(list(FAULTS), 3)
    return [{"seed": draw.random.choice(list(SEEDS)), "faults": faults}]


def text_8_3(question: Question) -> str:
    letters = [f"({letter}) {FAULTS[fault]}" for letter, fault in _lettered(question)]
    return (
        "at the start of every call, the wrapped step seeds the generator with "
        f"{question['seed']}. Which of these are true? {'; '.join(letters)}."
    )


def _lettered(question: Question) -> list[tuple[str, str]]:
    return list(zip("abc", question["faults"], strict=True))


def faults_of(question: Question, *turned: str) -> set[str]:
    """Return the letters of what is wrong with the dice, with some verdicts turned round."""
    seed = SEEDS[question["seed"]]
    # Of a story of four pages: page 2 is called second, and once more in the replay.
    there = {
        "gradient": seed(2, 1, 2) != seed(2, 1, 6),
        "passes": seed(2, 1, 2) == seed(2, 2, 9),
        "pages": seed(2, 1, 2) == seed(3, 1, 3),
    }
    return {letter for letter, fault in _lettered(question) if there[fault] != (fault in turned)}


LOOK_AGAIN = {
    "gradient": "The gradient: it is that of the loss if the second reading of a page throws the "
    "same dice as the first, and only then. Does this seed see to that? Exact is not the same as "
    "random.",
    "passes": "The passes: what does the generator give on page 3 in the first pass of training, "
    "and what in the second? That replay and BPTT agree says nothing about that.",
    "pages": "The pages: one seed gives the same numbers each time, and two seeds give streams "
    "that have nothing to do with each other. Which is it for pages 2 and 3 of a pass?",
}


def _turned(*turned: str):
    return lambda question: faults_of(question, *turned)


REPAIR_THE_DICE = Exercise(
    id="8.3",
    kind="choose",
    points=2,
    minutes=10,
    name="answer_8_3",
    ask=ask_8_3,
    book={"seed": "the number of the page", "faults": list(FAULTS)},
    text=text_8_3,
    right=faults_of,
    also_right=(
        lambda q: sorted(faults_of(q)),
        lambda q: {letter.upper() for letter in faults_of(q)},
    ),
    misconceptions={message: _turned(fault) for fault, message in LOOK_AGAIN.items()}
    | {
        "Two of your three verdicts are wrong; that on the gradient is right. Compare the dice of "
        "one page in two passes, and of two pages in one pass.": _turned("passes", "pages"),
        "Two of your three verdicts are wrong; that on the pages is right. Compare the dice of "
        "one page in its two readings, and in two passes.": _turned("gradient", "passes"),
        "Two of your three verdicts are wrong; that on the passes is right. Compare the dice of "
        "one page in its two readings, and of two pages in one pass.": _turned("gradient", "pages"),
        "All three verdicts are turned round. Write down the seed of page 2 in its first reading, "
        "in its second reading and in the next pass, and that of page 3.": _turned(*FAULTS),
    },
    tried="The seed decides: alike where it is alike, and only there.",
)

# 8.4 Is it worth it?

SHARES = {2: "half", 3: "a third", 5: "a fifth", 10: "a tenth", 20: "a twentieth"}


def ask_8_4(draw: Draw) -> list[Question]:
    part, graph = draw.random.choice(((2, 200), (3, 300), (5, 200), (10, 50), (10, 150), (20, 200)))
    pages = draw.random.choice((8, 10, 12, 14))
    return [
        {
            "part": part,
            "graph": graph,
            "state": draw.random.choice((1, 2, part + 1)),
            "pages": pages,
            "loss": draw.random.randint(2, pages - 2),
        }
    ]


def text_8_4(question: Question) -> str:
    large = f"much of what it computed as its state, $A = {question['state']}\\,S$"
    if question["state"] == 1:
        large = "everything it computed as its state, $S = A$"
    return (
        f"(a) With $A = {question['graph']}\\,S$, from how many pages on does replay need less "
        f"than {SHARES[question['part']]} of BPTT? (b) A model carries {large}: from how many "
        f"pages on? Use 0 for never. (c) The story has {question['pages']} pages, and the only "
        f"loss stands on page {question['loss']}: how often does `replay_backward` call the step?"
    )


def use_8_4(answer, question):
    # Never is never, also where it is called so.
    return {
        part: 0 if str(value).strip().lower() in ("never", "inf") else value
        for part, value in answer.items()
    }


def worth(question: Question) -> dict:
    part = question["part"]
    return {
        "a": _first_below(part, question["graph"]),
        "b": _first_below(part, question["state"]),
        "c": _calls(question["pages"], question["loss"]),
    }


def _first_below(part: int, graph: int) -> int:
    """From how many pages on one graph and the notes are less than this part of all graphs."""
    for pages in range(1, 1000):
        if part * (graph + pages - 1) < pages * graph:
            return pages
    return 0


def _calls(pages: int, loss: int) -> int:
    """Count the calls of a step that has a loss on one page only."""
    calls, weight = [], torch.ones(2, requires_grad=True)

    def step(page, mems):
        calls.append(page)
        return (mems * weight).sum() if page == loss else None, mems * weight

    replay_backward(step, range(1, pages + 1), torch.ones(2))
    return len(calls)


IS_IT_WORTH_IT = Exercise(
    id="8.4",
    kind="predict",
    points=3,
    minutes=10,
    name="answer_8_4",
    ask=ask_8_4,
    use=use_8_4,
    book={"part": 2, "graph": 200, "state": 1, "pages": 10, "loss": 4},
    text=text_8_4,
    right=worth,
    also_right=(
        lambda q: {part: float(pages) for part, pages in worth(q).items()},
        lambda q: worth(q) | ({"b": "never"} if not worth(q)["b"] else {}),
    ),
    misconceptions={
        "(a) On so many pages that share of BPTT is exactly one graph, and replay holds one graph "
        "and notes. Less needs one page more.": lambda q: {"a": q["part"]},
        "(a) On one page both hold one graph: nothing is saved yet.": lambda q: {"a": 1},
        "(a) So many notes weigh as much as a graph, and that is when replay has doubled. BPTT "
        "grows by a graph on every page.": lambda q: {"a": q["graph"]},
        "(a) What is asked is not how many notes weigh as much as that share of a graph: BPTT "
        "holds a graph for each page.": lambda q: {"a": q["graph"] // q["part"]},
        "(a) Not never: a page costs BPTT a graph, and replay a note, which is far "
        "smaller.": lambda q: {"a": 0},
        "(b) You forget the notes: here a note is large, and there is one for each page but "
        "one.": lambda q: {"b": q["part"] + 1},
        "(b) With so many pages that share of BPTT is exactly one graph, and the notes come on "
        "top.": lambda q: {"b": q["part"]},
        "(b) On one page both hold one graph: nothing is saved yet.": lambda q: {"b": 1},
        "(c) Twice each, but for one: the rollout leaves out the last page, since nobody needs the "
        "memory after it.": lambda q: {"c": 2 * q["pages"]},
        "(c) Only the last page is read once. The first is read by the rollout as well: page 2 "
        "needs the memory after it.": lambda q: {"c": 2 * q["pages"] - 2},
        "(c) Once each is the rollout or the replay. It takes both.": lambda q: {"c": q["pages"]},
        "(c) The replay starts at the last page, wherever the loss stands: pages behind the loss "
        "are read again too, and have nothing to send back.": lambda q: {
            "c": q["pages"] - 1 + q["loss"]
        },
        "(c) The story is not cut behind the loss: the last memory is returned, so every page is "
        "read.": lambda q: {"c": 2 * q["loss"] - 1},
    },
    tried="All three are right.",
)

EXERCISES = (REPLAY_FOR_ONE_NUMBER, THREE_BROKEN_REPLAYS, REPAIR_THE_DICE, IS_IT_WORTH_IT)
