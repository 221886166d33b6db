"""Exercises of chapter 01: segments and memory."""

import math

import torch

from memformer_lite.lab.exercise import Draw, Exercise, Question

# 1.1 The price of a sliding window


def ask_1_1(draw: Draw) -> list[Question]:
    # A window as long as the text, one that is longer, and one of the present token alone.
    sizes = [(16, 4), (7, 3), (13, 5), (5, 5), (5, 9), (6, 1), (1, 1), (1, 7)]
    sizes.append((draw.random.choice((101, 211, 307)), draw.random.choice((11, 23, 31))))
    sizes.append((draw.random.choice((11, 17, 19)), draw.random.choice((23, 29, 41))))
    return [{"tokens": tokens, "window": window} for tokens, window in sizes]


def use_1_1(window_scores, question):
    return window_scores(question["tokens"], question["window"])


def window_scores(tokens, window):
    window = min(window, tokens)
    return tokens * window - window * (window - 1) // 2


def token_by_token(tokens, window):
    return sum(min(place + 1, window) for place in range(tokens))


def triangle_and_band(tokens, window):
    full = max(tokens - window, 0)  # tokens after the first `window`, which see a whole window
    start = tokens - full
    return start * (start + 1) / 2 + full * window


def in_the_mask(tokens, window):
    everything = torch.ones(tokens, tokens, dtype=torch.bool)
    return (everything.tril() & everything.triu(1 - window)).sum()


def _both_sides(tokens, window):
    return sum(min(place + window, tokens) - max(place - window + 1, 0) for place in range(tokens))


def _too_few(missing):
    """Count with another number of scores that the first tokens lack."""

    def count(tokens, window):
        window = min(window, tokens)
        return tokens * window - missing(window)

    return count


THE_PRICE_OF_A_SLIDING_WINDOW = Exercise(
    id="1.1",
    kind="build",
    points=3,
    minutes=10,
    name="window_scores",
    ask=ask_1_1,
    use=use_1_1,
    right=window_scores,
    also_right=(token_by_token, triangle_and_band, in_the_mask),
    misconceptions={
        "Wrong where the window is longer than the text: no token sees more than the text. Cut the "
        "window to the text first.": lambda t, w: t * w - w * (w - 1) // 2,
        "You give every token a whole window. The first tokens have fewer before them: the first "
        "sees 1, the next sees 2.": lambda t, w: t * w,
        "You cut the window to the text, and give every token a whole one. The first tokens have "
        "fewer before them.": _too_few(lambda w: 0),
        "You subtract 1 + 2 + … + w. The first token sees itself, so it lacks w - 1 scores, and "
        "the sum ends there.": _too_few(lambda w: w * (w + 1) // 2),
        "You subtract for the first token only. The second lacks w - 2 scores, the third w - 3, "
        "and so on.": _too_few(lambda w: w - 1),
        "The missing scores are no half square but a staircase: 1, 2, …, w - 1. Its sum is half of "
        "w (w - 1).": _too_few(lambda w: w * w // 2),
        "You count only the tokens with a whole window. The first w - 1 see less, and they see "
        "something.": lambda t, w: (t - w + 1) * w,
        "You subtract twice as much: the sum of 1, 2, …, w - 1 is half of w (w - 1).": _too_few(
            lambda w: w * (w - 1)
        ),
        "You halve before you multiply, and // drops a rest: w (w - 1) is always even, w alone "
        "need not be.": _too_few(lambda w: w // 2 * (w - 1)),
        "You halve w - 1 before you multiply, and // drops a rest: w (w - 1) is always even, w - 1 "
        "alone need not be.": _too_few(lambda w: (w - 1) // 2 * w),
        "A token's own score is missing: it looks at itself and at the w - 1 before "
        "it.": lambda t, w: sum(min(place, w - 1) for place in range(t)),
        "Your window is one token too long: with the token itself it holds w, so w - 1 lie "
        "before it.": lambda t, w: sum(min(place, w) + 1 for place in range(t)),
        "Your tokens also look at those after them. The window holds a token and those before "
        "it.": _both_sides,
        "You count the whole square: then every token sees the whole text.": lambda t, w: t * t,
        "You count all that lies before a token. The window ends that.": lambda t, w: (
            t * (t + 1) // 2
        ),
        "You cut the text into segments. Here the window slides: a token near the start of a "
        "segment would still see back.": lambda t, w: t // w * w**2 + (t % w) ** 2,
    },
    tried="Ten texts, among them one token, a window of 1 and windows longer than the text.",
)

# 1.2 The smallest notebook


def ask_1_2(draw: Draw) -> list[Question]:
    return [{"boxes": 4, "values": 8}]  # all states are tried, so there is nothing to draw


def use_1_2(pack, question):
    from itertools import product

    states = product((None, *range(question["values"])), repeat=question["boxes"])
    numbers = [pack(list(next(states)))]
    if numbers[0] is None or numbers[0] is ...:
        return None  # nobody has answered yet
    numbers += [pack(list(state)) for state in states]
    if any(isinstance(number, str) for number in numbers):
        raise TypeError("expected a whole number, got a text")
    if set(map(type, numbers)) != {int}:
        numbers = [float(number) for number in numbers]
    return {
        "the count of different numbers": len(set(numbers)),
        "the count of fractions": sum(number % 1 != 0 for number in numbers),
        "the smallest number": min(numbers),
        "the largest number": max(numbers),
    }


def pack(values):
    number = 0
    for value in values:
        number = 9 * number + (8 if value is None else value)
    return number


def none_is_0(values):
    digits = [0 if value is None else value + 1 for value in values]
    return sum(digit * 9**place for place, digit in enumerate(digits))


def text_in_base_9(values):
    return int("".join("0" if value is None else str(8 - value) for value in values), 9)


def _packed(base, empty, digit=lambda value: value, boxes=4):
    """A packing with another base, another digit for an empty box, or fewer boxes."""

    def pack(values):
        number = 0
        for value in values[:boxes]:
            number = base * number + (empty if value is None else digit(value))
        return number

    return pack


def _flags(values):
    """Three bits for each value, and one for each box that says whether it has any."""
    flags = sum(2**i for i, value in enumerate(values) if value is None)
    return flags * 8**4 + _packed(8, 0)(values)


THE_SMALLEST_NOTEBOOK = Exercise(
    id="1.2",
    kind="build",
    points=3,
    minutes=12,
    name="pack",
    ask=ask_1_2,
    use=use_1_2,
    right=pack,
    also_right=(none_is_0, text_in_base_9),
    misconceptions={
        "Two states share a number. Base 8 has digits 0 to 7 and no room for None: None beside one "
        "value looks like a 0 beside another.": _packed(8, 8),
        "Two states share a number: a box that holds 0 and one that was never mentioned look "
        "alike.": _packed(9, 0),
        "Two states share a number: eight digits are one too few, so a box that was never "
        "mentioned looks like one that holds a value.": _packed(8, 0),
        "Two states share a number: you count down for None to -1, and base 8 has no room for "
        "that.": _packed(8, -1),
        "No two states share a number, and some numbers are never used: a decimal digit has ten "
        "possibilities. How many has a box?": _packed(10, 8),
        "No two states share a number, and some numbers are never used: 9 for None leaves the "
        "digit 8 idle.": _packed(10, 9),
        "No two states share a number, and most numbers are never used: four bits hold 16 "
        "possibilities. How many has a box?": _packed(16, 8),
        "No two states share a number, and most numbers are never used: where the bit of a box "
        "says None, its other three bits say nothing.": _flags,
        "None as -1 tells all states apart and gives numbers below 0: begin at 0.": _packed(9, -1),
        "Your digits begin at 1, so the smallest numbers are never used: begin at 0.": _packed(
            9, 9, lambda value: value + 1
        ),
        "Your last digit counts in nines, so all your numbers are multiples of 9. The last digit "
        "counts in ones: 9 to the power 0.": lambda values: 9 * pack(values),
        "You add the boxes up: then it does not matter which box holds what. Give each box its own "
        "place, as digits have.": _packed(1, 8),
        "You leave a box out: its value cannot come back.": _packed(9, 8, boxes=3),
        "A fraction is not a whole number: let the digits stand before the point, not after "
        "it.": lambda values: pack(values) / 9**4,
    },
    tried="No two of all the states share a number, and no number is left out.",
)

# 1.3 Break the average


def ask_1_3(draw: Draw) -> list[Question]:
    return [{"box": "A", "pages": 3, "values": 8}]  # any pair of stories will do


def use_1_3(two_stories, question):
    from fractions import Fraction

    answer = two_stories()
    if answer is None or answer is ...:
        return None  # nobody has answered yet
    if not isinstance(answer, (list, tuple)) or len(answer) != 2:
        return "not two stories"
    asks, cards = question["box"] + "?", []
    for story in answer:
        if not isinstance(story, (list, tuple)):
            return "not two stories"
        if not all(isinstance(page, str) for page in story):
            return "no value"
        pages = [[card for card in page.split() if card != asks] for page in story]
        while pages and not pages[-1]:  # a last page may do nothing but ask
            pages.pop()
        if len(pages) != question["pages"]:
            return "another number of pages"
        if any(len(page) != 1 or page[0][0] != question["box"] for page in pages):
            return "not one card about the box on each page"
        if any(not page[0][1:].isdecimal() for page in pages):
            return "no value"
        cards.append([int(page[0][1:]) for page in pages])
    if max(max(values) for values in cards) >= question["values"]:
        return "a value that no card shows"
    one, other = cards
    if one == other:
        return "one story twice"
    if one[-1] == other[-1]:
        return "the same answer"

    def differ(*weights):
        notes = [sum(w * v for w, v in zip(weights, values, strict=True)) for values in cards]
        return abs(notes[0] - notes[1])

    half, quarter = Fraction(1, 2), Fraction(1, 4)
    if not differ(quarter, quarter, half):
        return "one note, two answers"
    if sorted(one) == sorted(other):
        return "other notes: the same cards in another order"
    if not differ(1, 1, 1):
        return "other notes: equal sums"
    if not differ(quarter / 2, quarter, half):
        return "other notes: equal from a note of 0"
    if not differ(half, quarter, quarter):
        return "other notes: equal from the end"
    return "other notes" if differ(quarter, quarter, half) > quarter else "other notes: by 1/4"


def two_stories():
    return ["A1", "A3", "A5"], ["A4", "A2", "A4"]  # 1/4 + 3/4 + 5/2 = 4/4 + 2/4 + 4/2


def with_a_question():
    return [["A0", "A0", "A1", "A?"], ["A2", "A0", "A0", "A?"]]


def by_search():
    seen = {}
    for x in range(8):
        for y in range(8):
            for z in range(8):
                last, story = seen.setdefault(x + y + 2 * z, (z, (f"A{x}", f"A{y}", f"A{z}")))
                if last != z:
                    return story, (f"A{x}", f"A{y}", f"A{z}")
    return None


def _pair(one, other):
    """A function that returns two stories, written as texts."""
    return lambda: (one.split(), other.split())


BREAK_THE_AVERAGE = Exercise(
    id="1.3",
    kind="build",
    points=3,
    minutes=10,
    name="two_stories",
    ask=ask_1_3,
    use=use_1_3,
    right=two_stories,
    also_right=(with_a_question, by_search),
    misconceptions={
        "The answers are the same: the answer is the last card. Two stories with the same last "
        "card prove nothing, even if the notes agree.": _pair("A1 A3 A5", "A3 A1 A5"),
        "You return one story twice: of course it leaves one note, and it has one answer.": _pair(
            "A1 A3 A5", "A1 A3 A5"
        ),
        "The notes differ. The same cards in another order leave the same mean, but not the same "
        "note: the last card counts for a half.": _pair("A1 A3 A5", "A5 A3 A1"),
        "The notes differ. Your cards have equal sums, so equal means; but a note is no plain "
        "mean: the last card counts for a half, the first two for a quarter each.": _pair(
            "A1 A3 A5", "A2 A3 A4"
        ),
        "The notes differ. You begin with a note of 0, which gives the first card an eighth. An "
        "empty slot takes the first card as it is.": _pair("A0 A0 A1", "A2 A1 A0"),
        "The notes differ. You count the first card for a half: it is the last one that counts "
        "most, since nothing has halved it again.": _pair("A1 A0 A0", "A0 A1 A1"),
        "The notes differ by a quarter: that is near, and a reader can still tell which story it "
        "was. They must be exactly equal.": _pair("A0 A0 A1", "A3 A0 A0"),
        "The notes differ, so a reader can tell which story it was. If the last cards differ by 1, "
        "the note moves by 1/2: what must the first two do?": _pair("A7 A7 A7", "A1 A1 A0"),
        "Expected three pages in each story, with one card on each.": _pair("A4 A2", "A2 A3"),
        "Expected one card on each page, all three about box A.": _pair("B4 A2 A4", "C1 A3 A5"),
        "A card is a box and its value, such as A3.": _pair("A4 A2 Ax", "A4 A3 Ay"),
        "Values run from 0 to 7: no card shows another one.": _pair("A9 A0 A0", "A7 A0 A1"),
        "Expected two stories, each a list of three pages.": lambda: ["A1", "A3", "A5"],
    },
    tried="One note, two answers: no reader can be right on both.",
)

# 1.4 How much of the old may stay?


def _note(old: float, value: int, share: float) -> float:
    """What `update` leaves in a slot that held `old`, in float32 as in the chapter."""
    kept = torch.tensor(old, dtype=torch.float32) * (1 - share)
    return (kept + share * value).item()


def ask_1_4(draw: Draw) -> list[Question]:
    drawn = draw.random.choice((0.885, 0.89, 0.9, 0.92, 0.97, 0.99))
    questions = []
    for share in (0.88, 0.95, 1.0, 0.876, drawn):
        olds = [0.0, 7.0, 2.0, 3.5, 5.25, draw.random.uniform(0, 7)]
        values = list(range(8))
        draw.random.shuffle(values)
        notes = [_note(old, value, share) for value in values for old in olds]
        questions.append({"share": share, "notes": notes})
    return questions


def use_1_4(latest_value, question):
    import torch

    share = question["share"]
    read = [latest_value(note, share) for note in question["notes"]]
    if read[0] is None or read[0] is ...:
        return None  # nobody has answered yet
    return torch.tensor([float(value) for value in read], dtype=torch.float64)


def latest_value(note, share):
    return int(note / share + 1e-6)


def from_the_middle(note, share):
    return round((note - 3.5 * (1 - share)) / share)


def without_the_share(note, share):
    # The lowest note of a value v is g v, which is above 7/8 v. The highest, g v + 7 (1 - g), is
    # at most 7/8 (v + 1), and just there for a 7 alone. So 7/8 parts them for every share above.
    return min(int(note * 8 / 7), 7)


def nearest_range(note, share):
    return min(range(8), key=lambda v: abs(note - (share * v + 3.5 * (1 - share))))


HOW_MUCH_OF_THE_OLD_MAY_STAY = Exercise(
    id="1.4",
    kind="build",
    points=4,
    minutes=12,
    name="latest_value",
    ask=ask_1_4,
    use=use_1_4,
    right=latest_value,
    also_right=(from_the_middle, without_the_share, nearest_range),
    misconceptions={
        "Too high: you divide and round to the nearest whole number. That reads the middle of a "
        "range, but the value is at its lower end.": lambda n, g: round(n / g),
        "Too high, though never above 7: you divide and round to the nearest whole number. The "
        "value is at the lower end of its range.": lambda n, g: min(round(n / g), 7),
        "You round the note as it is. The card has only the share g of it, and the old number "
        "adds to that: where in its range does the value lie?": lambda n, g: round(n),
        "Too low: you cut without dividing. The card has only the share g of the "
        "note.": lambda n, g: int(n),
        "Too high: you round up. The old number can only add to the card's share, so the value "
        "lies at the lower end.": lambda n, g: math.ceil(n),
        "Too high: you divide and round up. The value lies at the lower end of its "
        "range.": lambda n, g: math.ceil(n / g - 1e-6),
        "Right but for rounding: a whole number can come out a little too small in float32, and "
        "you cut it down to the next one. Add something tiny before you cut.": lambda n, g: int(
            n / g
        ),
        "What you add before you cut is not tiny: a range may end just below the next "
        "value.": lambda n, g: int(n / g + 0.1),
        "You multiply by the share. The note holds g times the card: what undoes "
        "that?": lambda n, g: int(n * g + 1e-6),
        "You take away the most that the old number can add, and then cut. After that the value "
        "lies at the upper end of its range.": lambda n, g: int((n - 7 * (1 - g)) / g + 1e-6),
        "You take away the mean of what the old number adds, and then cut. After that the value "
        "lies in the middle of its range.": lambda n, g: int((n - 3.5 * (1 - g)) / g + 1e-6),
        "You take away what the old number adds, and the card's share is not divided by "
        "g.": lambda n, g: round(n - 3.5 * (1 - g)),
        "You return a number that is not whole: the value is what stands before the "
        "point.": lambda n, g: n / g,
        "You return the note itself: at a share of 1 it is the value, and below that the old "
        "number is in it.": lambda n, g: n,
    },
    tried="Every value after old numbers from 0 to 7, at five shares above the limit.",
)

EXERCISES = (
    THE_PRICE_OF_A_SLIDING_WINDOW,
    THE_SMALLEST_NOTEBOOK,
    BREAK_THE_AVERAGE,
    HOW_MUCH_OF_THE_OLD_MAY_STAY,
)
