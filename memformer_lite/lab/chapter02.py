"""Exercises of chapter 02: bucketing."""

import math
from bisect import bisect_right
from fractions import Fraction

import torch

from memformer_lite.lab.exercise import Draw, Exercise, Question

# 2.1 Write the bucket

# Halves of a bucket's start. Just before it floats are off by 1: logarithms, powers and roots.
BEYOND_FLOATS = (3 * 10**18 + 7, 2**60 + 1, 10**18 + 9, 1186701255205885013)


def ask_2_1(draw: Draw) -> list[Question]:
    odd, far = draw.random.choice((7, 9, 11, 13)), draw.random.choice((101, 151, 211))
    settings = [(32, 128), (16, 128), (16, 64), (8, 16), (4, 16), (2, 9), (3, 50), (odd, far)]
    questions = []
    for rows, far in settings:
        exact, starts = rows // 2, starts_of_buckets(rows, far)
        near = {0, 1, max(exact - 1, 0), exact, exact + 1, far - 1, far, far + 1, 10 * far}
        drawn = {draw.random.randrange(exact, far) for _ in range(3)}
        distances = sorted(near | drawn | set(starts) | {start - 1 for start in starts})
        questions.append({"rows": rows, "max_distance": far, "distances": distances})
    half = draw.random.choice(BEYOND_FLOATS)
    start = 2 * half  # of bucket 3, since start**2 = 2 * max_distance
    distances = [start - 1, start, start + 1]
    questions.append({"rows": 4, "max_distance": 2 * half**2, "distances": distances})
    return questions


def use_2_1(whole_bucket, question):
    import torch

    options = {"rows": question["rows"], "max_distance": question["max_distance"]}
    buckets = [whole_bucket(distance, **options) for distance in question["distances"]]
    if buckets[0] is None or buckets[0] is ...:
        return None  # nobody has answered yet
    return torch.tensor([float(bucket) for bucket in buckets], dtype=torch.float64)


def starts_of_buckets(rows: int, max_distance: int) -> list[int]:
    """Return the first distance of each bucket after bucket E, which starts at E."""
    exact, starts = rows // 2, []
    far = rows - exact
    for m in range(1, far):
        below, start = exact, max_distance  # the start is in between; halve what is left
        while start - below > 1:
            middle = (below + start) // 2
            if middle**far * exact**m >= max_distance**m * exact**far:
                start = middle
            else:
                below = middle
        starts.append(start)
    return starts


def whole_bucket(distance, *, rows, max_distance):
    exact = rows // 2
    far = rows - exact
    if distance < exact:
        return distance
    passed = [distance**far * exact**m >= max_distance**m * exact**far for m in range(1, far)]
    return exact + sum(passed)


def by_fractions(distance, *, rows, max_distance):
    exact = rows // 2
    if distance < exact:
        return distance
    bucket, factor = exact, Fraction(max_distance, exact)
    way = Fraction(distance, exact) ** (rows - exact)
    while bucket < rows - 1 and way >= factor ** (bucket - exact + 1):
        bucket += 1
    return bucket


def by_starts(distance, *, rows, max_distance):
    starts = [*range(rows // 2 + 1), *starts_of_buckets(rows, max_distance)]
    return bisect_right(starts, distance) - 1


def _bucket(far_bucket, exact=lambda rows: rows // 2):
    """A bucket with another way to count far distances, or another number of exact ones."""

    def bucket(distance, *, rows, max_distance):
        near = exact(rows)
        if distance < near:
            return distance
        return far_bucket(distance, near, rows - near, max_distance)

    return bucket


def _passed(r, e, far, d, counted):
    return sum(r**far * e**m >= d**m * e**far for m in counted)


def _steps(r, e, far, d):
    return far * math.log(r / e) / math.log(d / e)


def _all_far(distance, *, rows, max_distance):
    exact = rows // 2
    far = rows - exact
    return exact + _passed(distance, exact, far, max_distance, range(1, far))


WRITE_THE_BUCKET = Exercise(
    id="2.1",
    kind="build",
    points=4,
    minutes=15,
    name="whole_bucket",
    ask=ask_2_1,
    use=use_2_1,
    right=whole_bucket,
    also_right=(by_fractions, by_starts),
    misconceptions={
        "You used > where >= belongs: a distance exactly at a start is already in the new "
        "bucket.": _bucket(
            lambda r, e, far, d: e + sum(r**far * e**m > d**m * e**far for m in range(1, far))
        ),
        "Right as long as the numbers are small. A logarithm, a root or a division leaves a rest "
        "that is rounded, and next to a start that decides. Whole numbers are exact.": _bucket(
            lambda r, e, far, d: min(e + far - 1, e + int(_steps(r, e, far, d)))
        ),
        "You round to the nearest bucket. A distance is in the last bucket whose start it has "
        "passed: cut, do not round.": _bucket(
            lambda r, e, far, d: min(e + far - 1, e + round(_steps(r, e, far, d)))
        ),
        "You cut the way from E to D into equal lengths. The buckets cover equal factors: each is "
        "longer than the one before.": _bucket(
            lambda r, e, far, d: min(e + far - 1, e + (r - e) * far // (d - e))
        ),
        "The last bucket has no end. There are N - E - 1 starts to pass, not more.": _bucket(
            lambda r, e, far, d: e + _passed(r, e, far, d, range(1, far + 1))
        ),
        "Your buckets never end. There are N - E - 1 starts to pass: what is far beyond D is in "
        "the last bucket.": _bucket(
            lambda r, e, far, d: e + _passed(r, e, far, d, range(1, far * far))
        ),
        "Your buckets never end, and they come from a logarithm, which is rounded. Cap the number, "
        "and then count with whole numbers.": _bucket(
            lambda r, e, far, d: e + int(_steps(r, e, far, d))
        ),
        "You count one start too many: m = 0 is the start of bucket E itself, and every far "
        "distance has passed it.": _bucket(
            lambda r, e, far, d: e + _passed(r, e, far, d, range(far))
        ),
        "You count one start too few, so the last bucket stays empty: m runs from 1 to N - E - 1, "
        "and range leaves out its end.": _bucket(
            lambda r, e, far, d: e + _passed(r, e, far, d, range(1, far - 1))
        ),
        "You return how many starts were passed. That counts from bucket E on: add E.": _bucket(
            lambda r, e, far, d: _passed(r, e, far, d, range(1, far))
        ),
        "Near distances are missing: below E the bucket is the distance itself.": _all_far,
        "You halve the rows once more, for two directions. Here all rows belong to one: E is half "
        "of them.": _bucket(
            lambda r, e, far, d: e + _passed(r, e, far, d, range(1, far)),
            exact=lambda rows: rows // 4,
        ),
        "With an odd number of rows you round the half up: E is the half, rounded down.": _bucket(
            lambda r, e, far, d: e + _passed(r, e, far, d, range(1, far)),
            exact=lambda rows: (rows + 1) // 2,
        ),
        "Your power is N. The way from E to D is cut into N - E factors, since the first E buckets "
        "are exact.": _bucket(
            lambda r, e, far, d: (
                e + sum(r ** (e + far) * e**m >= d**m * e ** (e + far) for m in range(1, far))
            )
        ),
        "Your power is E. The way from E to D is cut into N - E factors, and with an odd number of "
        "rows that is one more.": _bucket(
            lambda r, e, far, d: e + sum(r**e * e**m >= d**m * e**e for m in range(1, far))
        ),
        "You compare the distance with D alone. Both are measured in factors of E: r / E and "
        "D / E.": _bucket(lambda r, e, far, d: e + sum(r**far >= d**m for m in range(1, far))),
        "Your buckets double each time, whatever D is. The factor from one start to the next "
        "follows from D: N - E of them lead from E to D.": _bucket(
            lambda r, e, far, d: min(e + far - 1, e + (r // e).bit_length() - 1)
        ),
        "You give each distance a bucket of its own until the rows are used up. Only the first E "
        "are exact.": _bucket(lambda r, e, far, d: min(r, e + far - 1)),
    },
    tried="Nine settings, at every start and just before it, and where numbers with a rest fail.",
    forbids=("relative_position_bucket", "RelativePositionBias"),
)

# 2.2 Choose buckets for segments of 64

# Rows, maximal distance and tokens. A bucket starts at the first distance that the segment does
# not have, and every mistake below gives another number.
SEGMENTS = (
    *((24, 136, 49), (24, 144, 50), (24, 160, 54), (24, 184, 59), (24, 200, 63), (24, 240, 71)),
    *((32, 128, 46), (32, 128, 64), (32, 144, 70), (32, 152, 51), (32, 160, 53), (32, 168, 79)),
    *((32, 184, 57), (32, 192, 87), (32, 200, 60), (32, 200, 90), (32, 216, 95), (32, 240, 68)),
    *((40, 128, 60), (40, 136, 81), (40, 144, 65), (40, 168, 96), (40, 192, 107), (40, 240, 93)),
)


def ask_2_2(draw: Draw) -> list[Question]:
    rows, far, tokens = draw.random.choice(SEGMENTS)
    return [{"tokens": tokens, "rows": rows, "max_distance": far}]


def use_2_2(answer, question):
    def number(value):  # alone in a list or a set, or as a text
        if isinstance(value, (list, tuple, set)) and len(value) == 1:
            (value,) = value
        return float(value) if isinstance(value, str) else value

    if not isinstance(answer, dict):
        return answer
    return {part: number(value) for part, value in answer.items()}


def text_2_2(question: Question) -> str:
    rows = question["rows"]
    return (
        f"your encoder reads segments of {question['tokens']} tokens with {rows} buckets in two "
        f"directions. (a) With `max_distance={question['max_distance']}`, how many of the {rows} "
        "rows are ever used? (b) One row can never be used, whatever you choose; which? (c) What "
        "is the largest `max_distance` that leaves only that row unused?"
    )


def _used(question: Question, furthest: int) -> int:
    """Buckets of one direction that start by the furthest distance."""
    options = {"rows": question["rows"] // 2, "max_distance": question["max_distance"]}
    return 1 + whole_bucket(furthest, **options)


def _largest(furthest: int, rows: int) -> int:
    """The largest maximal distance with which the last bucket of one direction starts in time."""
    largest = rows // 2 + 1
    while whole_bucket(furthest, rows=rows, max_distance=largest + 1) == rows - 1:
        largest += 1
    return largest


def rows_of_segment(question: Question) -> dict:
    furthest, half = question["tokens"] - 1, question["rows"] // 2
    return {
        "a": 2 * _used(question, furthest) - 1,  # the future has no distance 0
        "b": half,
        "c": _largest(furthest, half),
    }


def _upside_down(question: Question) -> int:
    exact = question["rows"] // 4
    far = question["rows"] // 2 - exact
    return int(exact * ((question["tokens"] - 1) / exact) ** ((far - 1) / far))


CHOOSE_BUCKETS = Exercise(
    id="2.2",
    kind="predict",
    points=3,
    minutes=10,
    name="answer_2_2",
    ask=ask_2_2,
    use=use_2_2,
    book={"tokens": 64, "rows": 32, "max_distance": 128},
    text=text_2_2,
    right=rows_of_segment,
    also_right=(
        lambda q: {key: float(value) for key, value in rows_of_segment(q).items()},
        lambda q: {key: [str(value)] for key, value in rows_of_segment(q).items()},
        lambda q: {key.upper(): value for key, value in reversed(rows_of_segment(q).items())},
    ),
    misconceptions={
        "(a) The future has no distance 0: it uses one row fewer than the past and the "
        "present.": lambda q: {"a": 2 * _used(q, q["tokens"] - 1)},
        "(a) That is one direction: the past and the present have rows, and the future has rows of "
        "its own.": lambda q: {"a": _used(q, q["tokens"] - 1)},
        "(a) The largest distance is one less than the number of tokens: the last bucket that you "
        "count starts just beyond it.": lambda q: {"a": 2 * _used(q, q["tokens"]) - 1},
        "(a) A row is used when some distance of the segment reaches the start of its bucket. "
        "Which starts lie beyond the segment?": lambda q: {"a": q["rows"] - 1},
        "(a) Not all of them: which buckets start beyond the segment, and which row has no offset "
        "at all?": lambda q: {"a": q["rows"]},
        "(b) The last bucket of a direction holds all that is far: with a small max_distance it is "
        "used.": lambda q: {"b": q["rows"] - 1},
        "(b) You count rows from 1. They are numbered from 0, as buckets are.": lambda q: {
            "b": q["rows"] // 2 + 1
        },
        "(b) Row 0 is the present, and every token has that.": lambda q: {"b": 0},
        "(b) That is the last bucket of the past, which a small max_distance makes "
        "used.": lambda q: {"b": q["rows"] // 2 - 1},
        "(c) The last bucket starts before max_distance, so max_distance may lie beyond the "
        "segment.": lambda q: {"c": q["tokens"] - 1},
        "(c) The last bucket starts before max_distance, so max_distance may be more than the "
        "number of tokens.": lambda q: {"c": q["tokens"]},
        "(c) One too many: the last bucket would start just beyond the segment. Cut the solution, "
        "do not round it up.": lambda q: {"c": rows_of_segment(q)["c"] + 1},
        "(c) You let the last bucket start at the number of tokens. The largest distance is one "
        "less.": lambda q: {"c": _largest(q["tokens"], q["rows"] // 2)},
        "(c) You give all rows to one direction. Each direction has half of them.": lambda q: {
            "c": _largest(q["tokens"] - 1, q["rows"])
        },
        "(c) Your power is upside down: the start follows from D by a power below 1, so D follows "
        "from the start by one above 1.": lambda q: {"c": _upside_down(q)},
        "(c) With that max_distance more than one row is idle: that is what (a) "
        "counts.": lambda q: {"c": q["max_distance"]},
    },
    tried="All three are right.",
)

# 2.3 Write the property

ORDERS = (
    *("both", "past", "past twice", "future", "weak", "mean"),
    *("sum", "alone", "first", "next", "next two", "last"),
)


def ask_2_3(draw: Draw) -> list[Question]:
    return [{"kind": kind, "table": draw.normal(13, 8)} for kind in ORDERS]


def use_2_3(sees_order, question):
    import torch

    kind, table = question["kind"], question["table"]  # (13, 8)

    def mix(n):
        """How much each token takes of each other one, (n, n), by offset alone."""
        offset = torch.arange(n) - torch.arange(n)[:, None]
        past = offset.clamp(max=0)  # near ones count more
        future = -offset.clamp(min=0, max=6)  # as a table that ends there
        bias = {
            "both": past + future,
            "past": past,
            "past twice": past,
            "future": future,
            "weak": past + 0.01 * future,
            "next": past - (offset > 1).int(),
            "next two": past - offset.clamp(min=0, max=3),
            "last": past - (offset == n - 1).int(),
        }.get(kind, torch.zeros(n, n))
        return (0.3 * bias.double()).softmax(dim=-1)

    def encoder(tokens):
        x, n = table[tokens], tokens.shape[-1]
        if kind == "alone":
            return x
        if kind == "first":
            return x[..., :1, :].expand_as(x)
        if kind == "sum":  # whole numbers, which no order of adding rounds
            return (4 * x).round().sum(dim=-2, keepdim=True).expand_as(x)
        # What rounding does in real sums, here for certain: a trace of the order.
        noisy = x * (1 + 1e-13 * torch.arange(n, dtype=x.dtype)[:, None])
        if kind == "mean":
            return noisy.mean(dim=-2, keepdim=True).expand_as(x)
        seen = mix(n)
        return x + (seen @ seen @ noisy if kind == "past twice" else seen @ noisy)

    return sees_order(encoder)


def _page_pairs(places=None, length=7, pages=20):
    """Pages of different tokens, and the same with two of their tokens exchanged."""
    generator = torch.Generator().manual_seed(0)
    page = torch.rand(pages, 13, generator=generator).argsort(dim=1)[:, :length]
    if places is None:
        places = 1 + torch.rand(pages, length - 1, generator=generator).argsort(dim=1)[:, :2]
    else:
        places = torch.tensor([places]).expand(pages, 2)
    return page, page.scatter(1, places, page.gather(1, places.flip(1)))


def _changes(encoder, page, other):
    return (encoder(page) - encoder(other)).abs().amax(dim=2)  # (pages, n)


def sees_order(encoder):
    return bool((_changes(encoder, *_page_pairs())[:, 0] > 1e-9).all())


def page_by_page(encoder, *, length=7, trials=20):
    for _ in range(trials):
        page = torch.randperm(13)[:length]  # no token twice
        i, j = (1 + torch.randperm(length - 1)[:2]).tolist()
        other = page.clone()
        other[i], other[j] = page[j], page[i]
        if torch.allclose(encoder(page[None])[:, 0], encoder(other[None])[:, 0]):
            return False
    return True


def all_neighbours(encoder):
    """On every page each pair of places in turn; then all pairs are found to change token 0."""
    return all(
        bool((_changes(encoder, *_page_pairs((i, j), pages=4))[:, 0] > 1e-8).all())
        for i in range(1, 7)
        for j in range(i + 1, 7)
    )


def _replaced(encoder):
    page, _ = _page_pairs()
    other = page.clone()
    other[:, 3] = (page[:, 3] + 1) % 13
    return bool((_changes(encoder, page, other)[:, 0] > 1e-9).all())


WRITE_THE_PROPERTY = Exercise(
    id="2.3",
    kind="detect",
    points=4,
    minutes=15,
    name="sees_order",
    ask=ask_2_3,
    use=use_2_3,
    right=sees_order,
    also_right=(page_by_page, all_neighbours),
    misconceptions={
        "You move token 0 itself: then it changes because it is another token. Exchange two tokens "
        "after it.": lambda e: bool((_changes(e, *_page_pairs((0, 3)))[:, 0] > 1e-9).all()),
        "You compare all positions: the others see their past, and that has changed. Compare "
        "position 0 alone.": lambda e: bool((_changes(e, *_page_pairs()).amax(dim=1) > 1e-9).all()),
        "You compare all positions, and exactly. The others see their past, and sums in another "
        "order differ by rounding.": lambda e: bool(
            (_changes(e, *_page_pairs()).amax(dim=1) > 0).all()
        ),
        "You look at the last token, which sees its past. Exchange tokens of the future, and look "
        "at token 0.": lambda e: bool((_changes(e, *_page_pairs((2, 5)))[:, -1] > 1e-9).all()),
        "You ask for exact equality: sums in another order differ by rounding. Compare with a "
        "threshold.": lambda e: bool((_changes(e, *_page_pairs())[:, 0] > 0).all()),
        "Your threshold is too large: a weak bias is an order, too. Rounding in float64 is far "
        "smaller, about 1e-15.": lambda e: bool((_changes(e, *_page_pairs())[:, 0] > 0.005).all()),
        "You say True when most pages show a change. It must hold on every page.": lambda e: bool(
            (_changes(e, *_page_pairs(pages=200))[:, 0] > 1e-9).double().mean() > 0.5
        ),
        "You say True when one page shows a change, or you move more than two tokens. Each "
        "exchange of two must be seen, on every page.": lambda e: bool(
            (_changes(e, *_page_pairs())[:, 0] > 1e-9).any()
        ),
        "You always exchange tokens 1 and 2: an encoder may know the next token and no order "
        "beyond it. Draw the places.": lambda e: bool(
            (_changes(e, *_page_pairs((1, 2)))[:, 0] > 1e-9).all()
        ),
        "You always exchange the last two tokens: an encoder may know the last one and no order "
        "before it. Draw the places.": lambda e: bool(
            (_changes(e, *_page_pairs((5, 6)))[:, 0] > 1e-9).all()
        ),
        "You put another token in the place of one: then even a sum changes. Exchange two tokens "
        "of the same page.": _replaced,
        "Your page is longer than 7: far offsets share a bucket, and then an encoder that knows "
        "the order looks blind.": lambda e: bool(
            (_changes(e, *_page_pairs(length=13))[:, 0] > 1e-9).all()
        ),
        "You have True and False the wrong way round: True says that the order is "
        "seen.": lambda e: not sees_order(e),
        "You call every encoder blind. Are the two tokens different on every page, and does your "
        "exchange reach the copy?": lambda e: False,
        "You call every encoder sound, even one that sees nothing but the token "
        "itself.": lambda e: True,
    },
    tried="Twelve encoders: with all of the order, some of it, a trace of it, and none.",
)

# 2.4 Find the ignored argument

OTHERS = {"heads": 3, "num_buckets": 16, "max_distance": 64, "scale": 2.0}


def ask_2_4(draw: Draw) -> list[Question]:
    drawn = {
        "scale": draw.random.choice((0.5, 1.5, 3.0)),
        "heads": draw.random.choice((1, 5)),
        "max_distance": draw.random.choice((40, 300, 1000)),
        "num_buckets": draw.random.choice((24, 40)),
    }
    names = list(drawn)
    draw.random.shuffle(names)
    drawn = {name: drawn[name] for name in names}
    cases: tuple[tuple[list[str], bool, dict], ...] = (
        (["max_distance"], True, {"max_distance": 64, **OTHERS}),
        ([], True, {name: value for name, value in OTHERS.items() if name != "scale"}),
        (["num_buckets", "scale"], False, OTHERS),
        (list(OTHERS), False, OTHERS),
        (["heads", draw.random.choice(("scale", "max_distance"))], True, drawn),
    )
    return [{"idle": idle, "both ways": both, "others": others} for idle, both, others in cases]


def use_2_4(without_effect, question):
    from torch import nn

    from memformer_lite.bucketing import RelativePositionBias

    class Bias(nn.Module):
        def __init__(self, *, heads=2, num_buckets=32, max_distance=128, scale=1.0):
            super().__init__()
            options = {"heads": heads, "num_buckets": num_buckets, "max_distance": max_distance}
            kept = {name: options[name] for name in options if name not in question["idle"]}
            self.scale = 1.0 if "scale" in question["idle"] else scale
            kept = {"heads": 2} | kept
            self.bias = RelativePositionBias(bidirectional=question["both ways"], **kept)

        def forward(self, q_len, k_len):
            return self.scale * self.bias(q_len, k_len)  # (1, h, i, j)

    found = without_effect(Bias, **question["others"])
    return set(found) if isinstance(found, (list, tuple, dict)) else found


def _outputs(make, others, call, seed=True):
    """What a module gives with its defaults, and with each option changed alone."""

    def output(**options):
        if seed:
            # The same random table each time; `torch.manual_seed` does this too, and is slower.
            torch.default_generator.manual_seed(0)
        return call(make(**options))

    with torch.no_grad():
        return output(), {name: output(**{name: value}) for name, value in others.items()}


def _idle(call=lambda module: module(48, 48), seed=True):
    def without_effect(make, **others):
        plain, changed = _outputs(make, others, call, seed)
        return [name for name, output in changed.items() if torch.equal(output, plain)]

    return without_effect


without_effect = _idle()


def one_by_one(make, **others):
    idle = set()
    for name in others:
        pair = []
        for options in ({}, {name: others[name]}):
            torch.default_generator.manual_seed(7)
            pair.append(make(**options)(50, 70))
        if pair[0].shape == pair[1].shape and (pair[0] - pair[1]).abs().max() < 1e-6:
            idle.add(name)
    return idle


def all_but_one(make, **others):
    """Starts from all options changed, and sets one after the other back to its default."""

    def output(options):
        torch.default_generator.manual_seed(1)
        return make(**options)(48, 48)

    changed = output(others)
    rest = {name: {n: v for n, v in others.items() if n != name} for name in others}
    return tuple(name for name in others if torch.equal(output(rest[name]), changed))


def _by_difference(make, **others):
    plain, changed = _outputs(make, others, lambda module: module(48, 48))
    return [name for name, output in changed.items() if (output - plain).abs().max() == 0]


def _by_shape(make, **others):
    plain, changed = _outputs(make, others, lambda module: module(48, 48))
    return [name for name, output in changed.items() if output.shape == plain.shape]


def _kept(make, **others):
    options, idle = {}, []
    for name, value in others.items():
        options[name] = value
        torch.default_generator.manual_seed(0)
        plain = make()(48, 48)
        torch.default_generator.manual_seed(0)
        if torch.equal(make(**options)(48, 48), plain):
            idle.append(name)
    return idle


def _together(make, **others):
    torch.default_generator.manual_seed(0)
    plain = make()(48, 48)
    torch.default_generator.manual_seed(0)
    return list(others) if torch.equal(make(**others)(48, 48), plain) else []


def _parameters(module):
    return torch.cat([p.flatten() for p in module.parameters()])


FIND_THE_IGNORED_ARGUMENT = Exercise(
    id="2.4",
    kind="detect",
    points=3,
    minutes=10,
    name="without_effect",
    ask=ask_2_4,
    use=use_2_4,
    right=without_effect,
    also_right=(one_by_one, all_but_one),
    misconceptions={
        "Every option seems to have an effect: each new module draws a new random table, so every "
        "two differ. Set the seed before each.": _idle(seed=False),
        "max_distance is idle on a short page: no distance is large enough for it to "
        "matter.": _idle(lambda module: module(8, 8)),
        "You compare shapes alone. Most options change the numbers and not the shape.": _by_shape,
        "You compare the learned tables. An option may work on what comes out of them: compare "
        "outputs.": _idle(_parameters),
        "With one query there is no past: an option that works there seems idle. Ask for as many "
        "queries as keys.": _idle(lambda module: module(1, 48)),
        "It stops where the shape changes: two outputs of different shapes cannot be subtracted. "
        "Another shape is a change, too.": _by_difference,
        "You return the options that have an effect: those that change nothing are "
        "wanted.": lambda make, **others: [
            name for name in others if name not in without_effect(make, **others)
        ],
        "You change all options at once. Change one alone, or you do not know which one it "
        "was.": _together,
        "You keep earlier options changed: after the first one with an effect everything differs. "
        "Change one option alone.": _kept,
        "You stop at the first idle option: there may be several.": lambda make, **others: (
            without_effect(make, **others)[:1]
        ),
    },
    tried="Five modules: with one idle option, two, all, and none; both ways and past only.",
)

EXERCISES = (
    WRITE_THE_BUCKET,
    CHOOSE_BUCKETS,
    WRITE_THE_PROPERTY,
    FIND_THE_IGNORED_ARGUMENT,
)
