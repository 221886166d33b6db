"""Every stream is decoded here by slow plain Python, which then knows all the answers."""

import dataclasses
import math
import socket
from collections import Counter
from pydoc_data.topics import topics

import pytest
import torch
from helpers import generator, refused, whole

from memformer_lite.learning.tasks import NOT_ASKED, Cards, Digits, Parity, Rows, Text
from memformer_lite.learning.tasks.images import _digits
from memformer_lite.learning.tasks.text import CHARACTERS, _characters

# No two numbers of boxes, values, noise tokens and places are equal.
ODD = Cards(keys=3, values=5, noise=2, content=7, max_cards=4)
CARDS = {
    "default": Cards(),
    "odd": ODD,
    "smallest": Cards(keys=1, values=2, noise=1, content=1),
    "full": Cards(keys=2, values=3, content=5, max_cards=5, write_probability=1.0),
    "one box, many cards": Cards(keys=1, values=11, content=3, max_cards=3),
    "fresh": dataclasses.replace(ODD, ask_fresh=True),
    "fresh, always full": Cards(content=2, max_cards=2, write_probability=1.0, ask_fresh=True),
    "asks seldom": dataclasses.replace(ODD, ask_probability=0.3),
    "never asks": dataclasses.replace(ODD, ask_probability=0.0),
    "never writes": dataclasses.replace(ODD, write_probability=0.0),
    "a range": dataclasses.replace(ODD, write_probability=(0.05, 0.9)),
}
every_cards = pytest.mark.parametrize("task", CARDS.values(), ids=CARDS.keys())


def frequencies_agree(counts, expected, what):
    """Each count lies within 5 standard deviations of its expectation; the draws are seeded."""
    assert counts.keys() <= expected.keys(), f"{what}: {counts.keys() - expected.keys()}"
    total = sum(counts.values())
    for case, share in expected.items():
        allowed = 5 * math.sqrt(total * share * (1 - share))
        difference = abs(counts[case] - total * share)
        assert difference <= allowed, f"{what} {case}: {counts[case]} of {total}, not {share:.3f}"


def evenly(cases):
    cases = list(cases)
    return dict.fromkeys(cases, 1 / len(cases))


def equal(first, second):
    """Whether two streams are the same."""
    return len(first) == len(second) and all(
        torch.equal(a.tokens, b.tokens) and torch.equal(a.answers, b.answers)
        for a, b in zip(first, second, strict=True)
    )


# Cards


def meanings(task):
    """Return what each token means, written down once more: cards, questions, noise."""
    found = {}
    for key in range(task.keys):
        for value in range(task.values):
            found[task.card(key, value)] = ("card", key, value)
        found[task.question(key)] = ("question", key)
    for token in range(task.num_tokens):
        found.setdefault(token, ("noise",))
    return found


def read(task, stream):
    """Yield for each row its pages: (content, last word, answer), each word decoded."""
    means = meanings(task)
    for row in range(len(stream[0].tokens)):
        pages = []
        for tokens, answers in stream:
            *content, last = (means[token] for token in tokens[row].tolist())
            pages.append((content, last, answers[row].item()))
        yield pages


def check_pages(task, pages):
    """Play one row by the rules of the docstring; count what was left to chance."""
    chances = Counter()
    held = {}
    for content, last, answer in pages:
        before = set(held)
        cards = [word for word in content if word[0] == "card"]
        assert all(word[0] in ("card", "noise") for word in content), content
        assert len(cards) <= task.max_cards
        held |= {key: value for _, key, value in cards}  # in the order of the places
        rewritten = {key for _, key, _ in cards}
        may_ask = set(held) if task.ask_fresh else before - rewritten
        if last[0] == "question":
            assert last[1] in may_ask, f"{last} in {content}, known {before}"
            assert answer == held[last[1]], f"{last} in {content}, held {held}"
        else:
            assert last == ("noise",) and answer == NOT_ASKED, (last, answer)
            assert task.ask_probability < 1 or not may_ask, f"{may_ask} could have been asked"
        chances["may ask"] += bool(may_ask)
        chances["asks"] += last[0] == "question"
    return chances


@every_cards
def test_cards_ask_by_the_rules_and_answer_with_the_latest_value(task):
    stream = task.stream(37, 13, generator=generator(1))
    assert len(stream) == 13
    for tokens, answers in stream:
        assert tokens.dtype == answers.dtype == torch.long
        assert tokens.shape == (37, task.max_seq_len) and answers.shape == (37,)
    chances = sum((check_pages(task, pages) for pages in read(task, stream)), Counter())
    asks = {True: chances["asks"], False: chances["may ask"] - chances["asks"]}
    share = {True: task.ask_probability, False: 1 - task.ask_probability}
    frequencies_agree(Counter(asks), share, "asked")
    if task.ask_probability > 0 and task.write_probability != 0:
        assert chances["asks"] > 50, "a stream that tests nothing"


@every_cards
def test_tokens_of_cards_are_all_different_and_counted(task):
    kinds = Counter(meaning[0] for meaning in meanings(task).values())
    assert kinds == {
        "card": task.keys * task.values,
        "question": task.keys,
        "noise": task.noise,
    }
    assert sorted(meanings(task)) == list(range(task.num_tokens))
    assert task.max_seq_len == task.content + 1
    assert task.num_answers == task.values and task.chance == 1 / task.values


def test_cards_are_drawn_evenly():
    """Boxes, values, places, numbers of cards, noise, and which of the known boxes is asked."""
    first_noise = ODD.question(ODD.keys)
    counts = {what: Counter() for what in ("writes", "cards", "place", "key", "value", "noise")}
    asked, same_box = Counter(), Counter()
    stream = ODD.stream(200, 20, generator=generator(2))
    for pages in read(ODD, stream):
        held = set()
        for content, last, _ in pages:
            cards = [(place, *word[1:]) for place, word in enumerate(content) if len(word) == 3]
            counts["writes"][bool(cards)] += 1
            if cards:
                counts["cards"][len(cards)] += 1
            for place, key, value in cards:
                counts["place"][place] += 1
                counts["key"][key] += 1
                counts["value"][value] += 1
            if len(cards) > 1:
                same_box[cards[0][1] == cards[1][1]] += 1
            may_ask = held - {key for _, key, _ in cards}
            if len(may_ask) == ODD.keys:
                asked[last[1]] += 1
            held |= {key for _, key, _ in cards}
    for tokens, _ in stream:
        counts["noise"].update(t - first_noise for t in tokens.flatten().tolist())
    frequencies_agree(counts["writes"], {True: 0.6, False: 0.4}, "a segment writes")
    frequencies_agree(counts["cards"], evenly(range(1, 5)), "number of cards")
    frequencies_agree(counts["key"], evenly(range(ODD.keys)), "box")
    frequencies_agree(counts["value"], evenly(range(ODD.values)), "value")
    frequencies_agree(asked, evenly(range(ODD.keys)), "asked box")
    frequencies_agree(same_box, {True: 1 / ODD.keys, False: 1 - 1 / ODD.keys}, "the same box twice")
    noise = Counter({token: n for token, n in counts["noise"].items() if token >= 0})
    frequencies_agree(noise, evenly(range(ODD.noise)), "noise")
    # Cards of one segment stand in different places: these counts vary less than by chance.
    frequencies_agree(counts["place"], evenly(range(ODD.content)), "place")


def test_a_range_of_write_probabilities_is_drawn_once_a_stream():
    task = Cards(content=2, write_probability=(0.1, 0.7))
    source = generator(3)
    shares = []
    for _ in range(100):
        stream = task.stream(50, 10, generator=source)
        writes = [(tokens[:, :-1] < task.question(0)).any(dim=1) for tokens, _ in stream]
        shares.append(torch.stack(writes).double().mean().item())
    noise = 5 * math.sqrt(0.25 / 500)
    assert all(0.1 - noise < share < 0.7 + noise for share in shares)
    shares = torch.tensor(shares)
    # A uniform draw from 0.1 to 0.7 has mean 0.4 and deviation 0.17; one draw a row has 0.02.
    assert abs(shares.mean() - 0.4) < 5 * 0.17 / math.sqrt(100)
    assert 0.13 < shares.std() < 0.21


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_certain_and_impossible_writing(probability):
    task = dataclasses.replace(ODD, write_probability=probability)
    for tokens, _ in task.stream(50, 10, generator=generator(4)):
        writes = (tokens[:, :-1] < task.question(0)).any(dim=1)
        assert (writes == bool(probability)).all()


@every_cards
@pytest.mark.parametrize("gap", [0, 5])
def test_recall_stream_names_each_box_once_and_asks_after_the_gap(task, gap):
    stream = task.recall_stream(29, gap, generator=generator(5))
    assert len(stream) == task.keys + gap + 1
    orders, asked, places = set(), set(), set()
    for *pages, (content, last, answer) in read(task, stream):
        held, order = {}, []
        for step, (words, end, nothing) in enumerate(pages):
            cards = [word for word in words if word[0] == "card"]
            assert len(cards) == (1 if step < task.keys else 0), "cards first, then the gap"
            assert all(word[0] in ("card", "noise") for word in words)
            assert end == ("noise",) and nothing == NOT_ASKED
            held |= {key: value for _, key, value in cards}
            order += [key for _, key, _ in cards]
        assert len(pages) == task.keys + gap and sorted(order) == list(range(task.keys))
        assert all(word == ("noise",) for word in content)
        assert last[0] == "question" and answer == held[last[1]]
        orders.add(tuple(order))
        asked.add(last[1])
        places.add(order.index(last[1]))
    assert asked == places == set(range(task.keys)), "not any box, early or late, is asked"
    assert len(orders) == math.factorial(task.keys) or task.keys > 3, "the order is not drawn"


def word(meaning):
    """Write a decoded token as `tokens_of` reads it."""
    letter = chr(ord("A") + meaning[1]) if len(meaning) > 1 else ""
    return {"card": f"{letter}{meaning[-1]}", "question": f"{letter}?", "noise": "–"}[meaning[0]]


def test_any_page_of_a_stream_can_be_written_in_words():
    task = dataclasses.replace(ODD, noise=1, values=13, ask_probability=0.7)
    stream = task.stream(31, 7, generator=generator(6))
    for row, pages in enumerate(read(task, stream)):
        for (content, last, _), (tokens, _) in zip(pages, stream, strict=True):
            asks = [last] if last[0] == "question" else []  # noise at the end is not written
            page = " ".join(word(meaning) for meaning in (*content, *asks))
            assert task.tokens_of(page) == tokens[row].tolist(), page


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", [36, 36, 36, 36]),
        ("A3", [3, 36, 36, 36]),
        ("– B1", [36, 9, 36, 36]),
        ("- - D7", [36, 36, 31, 36]),
        ("A?", [36, 36, 36, 32]),
        ("C6 A0 D?", [22, 0, 36, 35]),
        ("A1 A2 A3 A?", [1, 2, 3, 32]),
    ],
)
def test_pages_in_words(page, expected):
    assert Cards().tokens_of(page) == expected


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("A8", "A8"),
        ("A-1", "A-1"),
        ("A", "A"),
        ("E0", "E0"),
        ("E?", "E?"),
        ("a1", "a1"),
        ("@1", "@1"),
        ("A1?", "A1?"),
        ("A??", "A??"),
        ("?", "?"),
        ("3", "3"),
        ("A1,", "A1,"),
        ("A² B1", "A²"),
        ("A? B1", "A?"),
        ("A? A?", "A?"),
        ("A? –", "A?"),
        ("A1 B1 C1 D1", "3"),
        ("– – – –", "3"),
    ],
)
def test_a_page_that_cannot_be_is_refused_by_the_word_that_is_wrong(page, named):
    refused(ValueError, lambda: Cards().tokens_of(page), f"page={page!r}: expected", "expected")
    with pytest.raises(ValueError) as caught:
        Cards().tokens_of(page)
    assert named in str(caught.value).partition("expected")[2]


def probability(name):
    wrong = [(-0.1, ValueError), (1.1, ValueError), (math.nan, ValueError)]
    wrong += [(value, TypeError) for value in ("0.5", None, True)]
    return [(name, value, kind) for value, kind in wrong]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        *whole("keys", 0, -1),
        *whole("values", 1, 0),
        *whole("noise", 0),
        *whole("content", 0),
        *whole("max_cards", 0, -2, 4),
        *probability("write_probability"),
        ("write_probability", (0.2, 1.2), ValueError),
        ("write_probability", (-0.2, 0.2), ValueError),
        ("write_probability", (0.6, 0.2), ValueError),
        ("write_probability", (0.6, "1"), TypeError),
        ("write_probability", (0.6, True), TypeError),
        ("write_probability", [0.1, 0.2], TypeError),
        ("write_probability", (), ValueError),
        ("write_probability", (0.1,), ValueError),
        ("write_probability", (0.1, 0.2, 0.3), ValueError),
        *probability("ask_probability"),
        *[("ask_fresh", value, TypeError) for value in (1, "no", None)],
    ],
    ids=str,
)
def test_cards_refuse_an_option(name, value, kind):
    refused(kind, lambda: Cards(**{name: value}), name, "expected")


TASKS = {
    "cards": Cards(),
    "parity": Parity(),
    "digits": Digits(),
    "digits of the test": Digits(split="test"),
    "rows": Rows(rows=1),
    "text": Text(length=5),
}
SEGMENTS = 8  # suits them all
every_task = pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())


@every_task
def test_a_seed_fixes_the_stream_and_nothing_else_does(task):
    torch.manual_seed(1)
    source = generator(7)
    first = task.stream(11, SEGMENTS, generator=source)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert equal(first, task.stream(11, SEGMENTS, generator=generator(7)))
    assert torch.equal(torch.get_rng_state(), before), "the global random state changed"
    assert not equal(first, task.stream(11, SEGMENTS, generator=generator(8))), "another seed"
    assert not equal(first, task.stream(11, SEGMENTS, generator=source)), "the next draw"


@every_task
def test_a_stream_fits_what_the_task_says_of_itself(task):
    for tokens, answers in task.stream(11, SEGMENTS, generator=generator(9)):
        assert tokens.dtype == answers.dtype == torch.long
        assert len(tokens) == len(answers) == 11
        assert tokens.shape[1] <= task.max_seq_len
        assert tokens.min() >= 0 and tokens.max() < task.num_tokens
        if task.guesses_next:
            assert answers.shape[1] <= task.max_seq_len
            assert answers.min() >= 0 and answers.max() < task.num_tokens
        else:
            assert answers.min() >= NOT_ASKED and answers.max() < task.num_answers
            assert task.chance == 1 / task.num_answers


@every_task
@pytest.mark.parametrize(
    ("name", "value", "kind"), [*whole("batch_size", 0), *whole("segments", 0)]
)
def test_streams_refuse_sizes(task, name, value, kind):
    sizes = {"batch_size": 3, "segments": SEGMENTS, name: value}
    refused(kind, lambda: task.stream(**sizes, generator=generator()), name, value, "expected")


@pytest.mark.parametrize(("name", "value", "kind"), [*whole("batch_size", 0), *whole("gap", -1)])
def test_recall_stream_refuses_sizes(name, value, kind):
    sizes = {"batch_size": 3, "gap": 2, name: value}
    stream = Cards().recall_stream
    refused(kind, lambda: stream(**sizes, generator=generator()), name, "expected")


@every_task
def test_a_task_cannot_be_changed_or_misspelt(task):
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.split = "test"
    with pytest.raises(TypeError, match="unknown"):
        type(task)(unknown=1)
    with pytest.raises(TypeError, match="generator"):
        task.stream(3, SEGMENTS)


def test_nothing_is_downloaded(monkeypatch):
    def no_network(*arguments, **options):
        raise AssertionError("a task opened a connection")

    monkeypatch.setattr(socket, "socket", no_network)
    monkeypatch.setattr(socket, "create_connection", no_network)
    _digits.cache_clear()
    _characters.cache_clear()
    for task in TASKS.values():
        task.stream(2, SEGMENTS, generator=generator())


# Parity


def test_parity_is_that_of_the_bits_so_far():
    stream = Parity().stream(41, 17, generator=generator(10))
    assert len(stream) == 17
    bits = Counter()
    for row in range(41):
        ones = 0
        for tokens, answers in stream:
            (bit,) = tokens[row].tolist()
            ones += bit
            bits[bit] += 1
            assert answers[row] == (ones % 2 != 0)
    frequencies_agree(bits, evenly([0, 1]), "bit")


# Digits: the images are taken from scikit-learn a second time


@pytest.fixture(scope="module")
def images():
    """All images as tuples of 64 pixels from 0 to 16, each with its label."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = (tuple(int(p) for p in row) for row in data.data)
    return list(zip(pixels, (int(label) for label in data.target), strict=True))


def levels(pixels):
    """Round 0 … 16 to five levels of ink."""
    return tuple([0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4][p] for p in pixels)


def shown(stream, count=4):
    """Put the rows of images together again: (pixels, label)."""
    pixels = torch.cat([tokens for tokens, _ in stream[:count]], dim=1).tolist()
    return [
        (tuple(row), label) for row, label in zip(pixels, stream[-1].answers.tolist(), strict=True)
    ]


def moved(pixels, columns):
    """Move an image by some columns to the right."""
    rows = [pixels[start : start + 8] for start in range(0, 64, 8)]
    line = {-1: lambda r: (*r[1:], 0), 0: lambda r: r, 1: lambda r: (0, *r[:-1])}[columns]
    return tuple(pixel for row in rows for pixel in line(row))


def test_digits_are_the_real_ones_and_no_test_image_is_trained_on(images):
    """Train and test together are all 1797 images, each once: so no image is in both."""
    train = shown(Digits().all_images())
    test = shown(Digits(split="test").all_images())
    assert len(train) == 1437 and len(test) == 360
    assert Counter(train + test) == Counter((levels(p), label) for p, label in images)
    pixels = Counter(pixels for pixels, _ in images)
    assert max(pixels.values()) == 1, "two images are the same, so counting proves nothing"
    frequencies_agree(Counter(label for _, label in test), evenly(range(10)), "digit")


def test_training_images_are_moved_by_up_to_one_column():
    originals = shown(Digits().all_images())
    versions = {}
    for pixels, label in originals:
        for columns in (-1, 0, 1):
            versions.setdefault((moved(pixels, columns), label), set()).add(columns)
    drawn = shown(Digits().stream(1500, 5, generator=generator(11)))
    assert set(drawn) <= versions.keys(), "an image that is none of the moved ones"
    moves = Counter(min(versions[image]) for image in drawn if len(versions[image]) == 1)
    assert sum(moves.values()) > 1400
    frequencies_agree(moves, evenly([-1, 0, 1]), "moved by")
    assert len({label for _, label in drawn}) == 10
    assert len(set(drawn)) > 900, "drawn from a few images only"


def test_test_images_are_never_moved():
    originals = set(shown(Digits(split="test").all_images()))
    drawn = shown(Digits(split="test").stream(700, 5, generator=generator(12)))
    assert set(drawn) <= originals
    assert len(set(drawn)) > 250


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("segments", [5, 6, 9])
def test_digits_show_four_parts_then_blanks_then_ask(split, segments):
    task = Digits(split=split)
    drawn = task.stream(13, segments, generator=generator(13))
    for stream in (drawn, task.all_images(segments)):
        assert len(stream) == segments
        for step, (tokens, answers) in enumerate(stream):
            asks = step == segments - 1
            assert tokens.shape[1] == (1 if asks else 16)
            assert (answers == NOT_ASKED).all() == (not asks)
            if step < 4:
                assert tokens.max() == 4 and tokens.min() == 0
            else:
                assert (tokens == (5 if asks else 6)).all()


@pytest.mark.parametrize("segments", [4, 1, 0])
def test_digits_need_their_five_segments(segments):
    refused(ValueError, lambda: Digits().stream(3, segments, generator=generator()), "segments", 5)
    refused(ValueError, lambda: Digits().all_images(segments), "segments", segments, 5)


# Rows


@pytest.mark.parametrize("rows", [1, 2, 4, 8])
@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_together_are_the_image_and_the_source_comes_just_before(images, rows, split):
    task = Rows(rows=rows, split=split)
    labelled = shown(Digits(split=split).all_images())  # of this split, in five levels
    whole_images = Counter(pixels for pixels, _ in images)
    drawn = task.stream(19, 8 // rows, generator=generator(14))
    for stream, expected in ((drawn, 19), (task.all_images(), len(labelled))):
        assert len(stream) == 8 // rows
        seen = torch.full((expected, 8 * rows), 17)  # before the first row: the start token
        found = []
        for src, tgt in stream:
            assert torch.equal(src, seen), "the source is not what came just before"
            assert tgt.shape == (expected, 8 * rows + 1) and (tgt[:, 0] == 17).all()
            seen = tgt[:, 1:]
            found.append(seen)
        pixels = [tuple(row) for row in torch.cat(found, dim=1).tolist()]
        assert all(row in whole_images for row in pixels), "not a real image, pixel for pixel"
        allowed = {image for image, _ in labelled}
        assert all(levels(row) in allowed for row in pixels), f"not an image of {split}"
    assert Counter(levels(row) for row in pixels) == Counter(image for image, _ in labelled)


@pytest.mark.parametrize(("rows", "segments"), [(1, 7), (1, 9), (2, 8), (8, 2)])
def test_rows_refuse_a_part_of_an_image(rows, segments):
    task = Rows(rows=rows)
    words = ("segments", segments, 8 // rows)
    refused(ValueError, lambda: task.stream(3, segments, generator=generator()), *words)


@pytest.mark.parametrize(
    ("build", "name", "value"),
    [
        *[(Rows, "rows", value) for value in (0, 3, 16, "1", None)],
        *[(task, "split", value) for task in (Digits, Rows, Text) for value in ("all", None, 0)],
    ],
)
def test_a_choice_that_there_is_not_is_refused(build, name, value):
    refused(ValueError, lambda: build(**{name: value}), name, repr(value).strip("'"), "expected")


# Text


@pytest.fixture(scope="module")
def text():
    """The text of each split, with one sign for all characters not in the vocabulary."""
    return {split: "".join(letters(tokens[None])) for split, tokens in _characters().items()}


def letters(tokens):
    return ["".join((*CHARACTERS, "\0")[t] for t in row) for row in tokens.tolist()]


def test_the_text_is_real_and_a_tenth_of_it_is_kept_for_the_test(text):
    """Line by line as Python's help says it; only the line at the cut may be in two pieces."""
    whole_text = "".join(topics.values())
    known = {line for topic in topics.values() for line in topic.split("\n")}
    known = {"".join(c if c in CHARACTERS else "\0" for c in line) for line in known}
    lines = (text["train"] + text["test"]).split("\n")
    assert sum(line not in known for line in lines) <= len(topics)  # where two topics meet
    assert len(text["train"]) // 9 == pytest.approx(len(text["test"]), abs=2)
    assert 0.5 < (len(text["train"]) + len(text["test"])) / len(whole_text) <= 1


def test_the_text_does_not_depend_on_the_order_in_which_python_lists_its_topics(monkeypatch, text):
    names = sorted(topics, key=lambda name: name[::-1])
    assert names != sorted(topics)
    shuffled = {name: topics[name] for name in names}
    monkeypatch.setattr("pydoc_data.topics.topics", shuffled)
    for split, tokens in _characters.__wrapped__().items():
        assert "".join(letters(tokens[None])) == text[split]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("length", [1, 13, 32])
def test_text_runs_on_and_its_source_is_the_segment_before(text, split, length):
    task = Text(length=length, split=split)
    assert task.num_tokens == len(CHARACTERS) + 1 == 97
    stream = task.stream(23, 11, generator=generator(15))
    assert len(stream) == 11
    rows = letters(stream[0].tokens)
    for src, tgt in stream:
        assert src.shape == (23, length) and tgt.shape == (23, length + 1)
        before = [row[-length:] for row in rows]
        assert letters(src) == before, "the source is not the segment before"
        assert letters(tgt[:, :1]) == [row[-1] for row in before], "it starts with the last sign"
        rows = [row + new for row, new in zip(rows, letters(tgt[:, 1:]), strict=True)]
    for row in rows:
        assert len(row) == 12 * length
        assert row in text[split], "not a piece of the text"
    assert len(set(rows)) > 20


def test_text_may_start_at_the_first_sign_and_end_with_the_last(text):
    length = (len(text["test"]) - 1) // 2
    spare = len(text["test"]) - 2 * length
    stream = Text(length=length, split="test").stream(16, 1, generator=generator(16))
    starts = {text["test"].index(row) for row in letters(stream[0].tokens[:, :99])}
    assert starts == set(range(spare + 1))
    ends = {text["test"].rindex(row) + 99 for row in letters(stream[0].answers[:, -99:])}
    assert ends == {len(text["test"]) - unused for unused in range(spare + 1)}


def test_hardly_any_passage_of_the_test_text_is_trained_on(text):
    """Topics repeat one another; a test on what was read before would flatter every model."""
    length = 200
    train, test = text["train"], text["test"]
    known = {train[at : at + length] for at in range(len(train) - length + 1)}
    repeated = set()
    for at in range(len(test) - length + 1):
        if test[at : at + length] in known:
            repeated.update(range(at, at + length))
    share = len(repeated) / len(test)
    assert share <= 0.01, f"{share:.1%} of the test text is in the training text, word for word"


def test_text_refuses_what_it_cannot_give(text):
    for name, value, kind in whole("length", 0):
        refused(kind, lambda value=value: Text(length=value), name, value, "expected")
    task = Text(length=1000, split="test")
    most = len(text["test"]) // 1000 - 1
    task.stream(1, most, generator=generator())
    refused(
        ValueError, lambda: task.stream(1, most + 1, generator=generator()), "segments", most + 1
    )


def test_digits_and_rows_and_text_without_scikit_learn(monkeypatch):
    """Only the images need it, and the error says so."""
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    _digits.cache_clear()
    Text().stream(2, 2, generator=generator())
    Cards().stream(2, 2, generator=generator())
    with pytest.raises(ImportError, match="sklearn"):
        Digits().stream(2, 5, generator=generator())
    with pytest.raises(ImportError, match="sklearn"):
        Rows().all_images()
