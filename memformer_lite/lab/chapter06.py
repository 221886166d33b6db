"""Exercises of chapter 06: the decoder, choosing tokens, and the cache."""

import math
from itertools import cycle, islice

import torch
import torch.nn.functional as F
from torch import Tensor

from memformer_lite.lab.exercise import Draw, Exercise, Question

# 6.1 A triangle that has moved


def ask_6_1(draw: Draw) -> list[Question]:
    i = draw.random.randint(2, 5)
    sizes = [(1, 1), (1, 4), (4, 4), (3, 5), (i, i + draw.random.randint(2, 6))]
    return [{"i": i, "j": j} for i, j in sizes]


def use_6_1(may_look, question):
    import torch

    table = may_look(question["i"], question["j"])
    if table is None or table is ...:
        return table
    table = torch.as_tensor(table)
    return {"bool": table.dtype == torch.bool, "the table": table}


def may_look(i, j):
    return torch.ones(i, j, dtype=torch.bool).tril(j - i)


def by_places(i, j):
    return torch.arange(j) <= torch.arange(j - i, j)[:, None]


def last_rows(i, j):
    return torch.tril(torch.ones(j, j)).bool()[-i:]


def as_lists(i, j):
    return [[c <= j - i + r for c in range(j)] for r in range(i)]


def _triangle(shift):
    return lambda i, j: torch.ones(i, j, dtype=torch.bool).tril(shift(i, j))


A_TRIANGLE_THAT_HAS_MOVED = Exercise(
    id="6.1",
    kind="build",
    points=2,
    minutes=10,
    name="may_look",
    ask=ask_6_1,
    use=use_6_1,
    right=may_look,
    also_right=(by_places, last_rows, as_lists),
    misconceptions={
        "One new row sees only the first key: your triangle stands at the left edge. The new rows "
        "are the last of the text, so it belongs at the right edge.": _triangle(lambda i, j: 0),
        "The triangle has moved to the left: the first new row has j - i keys before it, and sees "
        "them all.": _triangle(lambda i, j: i - j),
        "A row sees its future: the table is not cut at all.": lambda i, j: torch.ones(i, j).bool(),
        "A row sees the token after it: the cut is one place too late.": _triangle(
            lambda i, j: j - i + 1
        ),
        "A row does not see itself: the cut is one place too early.": _triangle(
            lambda i, j: j - i - 1
        ),
        "Your True means hidden: in this book True means may look.": lambda i, j: ~may_look(i, j),
        "Rows look ahead instead of back: the other half of the table is cut.": lambda i, j: (
            torch.ones(i, j, dtype=torch.bool).triu(j - i)
        ),
        "A mask is bool, not a table of numbers 0 and 1.": lambda i, j: may_look(i, j).double(),
        "The new rows see the old keys only: they also look at themselves, and at new rows before "
        "them.": lambda i, j: (torch.arange(j) < j - i).expand(i, j),
        "A new row sees the old keys and itself: it also looks at the new rows before "
        "it.": lambda i, j: (torch.arange(j) < j - i) | torch.eye(j).bool()[-i:],
        "These are numbers to be added to scores, 0 and -inf; a mask is bool.": lambda i, j: (
            torch.zeros(i, j, dtype=torch.float64).masked_fill(~may_look(i, j), -math.inf)
        ),
        "Rows and columns are exchanged: one row a new token, one column a key.": lambda i, j: (
            may_look(i, j).T
        ),
        "Only the last i tokens are new: the table has i rows, not j.": lambda i, j: may_look(j, j),
        "All tokens so far have keys: the table has j columns, not i.": lambda i, j: may_look(i, i),
    },
    tried="Five tables, among them one new row, and a whole text at once.",
)

# 6.2 Write top-p

FIVE = (0.42, 0.29, 0.16, 0.08, 0.05)  # the chapter's chances


def ask_6_2(draw: Draw) -> list[Question]:
    five = torch.tensor([FIVE], dtype=torch.float64).log()
    sure = torch.tensor([[4.0, 1.0, 0.0, -1.0, -2.0], [0.4, 0.3, 0.2, 0.1, 0.0]]).double()
    hidden = five.clone()
    hidden[0, 1] = -math.inf
    b, v = draw.random.choice(((2, 7), (3, 7), (5, 11)))
    questions = [
        {"logits": sure.roll(3, -1), "p": 0.7},  # a row that is sure, and one that is not
        {"logits": five.roll(2, -1), "p": 0.6},
        {"logits": five, "p": 0.4},
        {"logits": five.roll(3, -1), "p": 1.0},
        {"logits": hidden, "p": 0.8},  # as after top-k
        {"logits": draw.normal(1, 1), "p": 0.3},
        {"logits": 2 * draw.normal(b, v), "p": draw.random.choice((0.35, 0.55, 0.75))},
    ]
    # Equal chances 1/4 add up without rounding, so the sum can be p itself. Which of the equal
    # tokens stay is free.
    ties = {"logits": torch.zeros(2, 4, dtype=torch.float64), "p": 0.5}
    return [question | {"in order": True} for question in questions] + [ties | {"in order": False}]


def use_6_2(my_top_p, question):
    import torch

    result = my_top_p(question["logits"], question["p"])
    if result is None or result is ...:
        return result
    result = torch.as_tensor(result)
    if not question["in order"]:
        result = result.sort(dim=-1, descending=True).values
    if result.dtype == torch.bool:
        return result
    kept = result != float("-inf")
    # Of logits that shall stand for "never", all are the same.
    stays = torch.where(kept, result.clamp(min=-1e4), 0.0)
    return {"what is kept": kept, "the logits that stay": stays}


def my_top_p(logits, p):
    ordered, places = logits.sort(dim=-1, descending=True)
    chances = ordered.softmax(dim=-1)
    before = chances.cumsum(dim=-1) - chances
    ordered = ordered.masked_fill(before >= p, -math.inf)
    return torch.empty_like(logits).scatter(-1, places, ordered)


def token_by_token(logits, p):
    result = torch.full_like(logits, -math.inf)
    for row, chances in enumerate(logits.softmax(dim=-1)):
        total = 0.0
        for place in chances.argsort(descending=True).tolist():
            if total >= p:
                break
            result[row, place] = logits[row, place]
            total += chances[place].item()
    return result


def by_number(logits, p):
    """How many stay is one more than there are sums below p."""
    ordered, places = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    number = (ordered[:, :-1].cumsum(dim=-1) < p).sum(dim=-1, keepdim=True) + 1
    ranks = places.argsort(dim=-1)
    return torch.where(ranks < number, logits, -math.inf)


def _top_p(stays, descending=True):
    """Top-p with another rule for what stays, of sorted logits, chances and their sums."""

    def keep(logits, p):
        ordered, places = logits.sort(dim=-1, descending=descending)
        chances = ordered.softmax(dim=-1)
        ordered = ordered.masked_fill(~stays(chances, chances.cumsum(dim=-1), p), -math.inf)
        return torch.empty_like(logits).scatter(-1, places, ordered)

    return keep


def _with_first(stays: Tensor) -> Tensor:
    """Judge each token by the one before it; the first stays."""
    return F.pad(stays[:, :-1], (1, 0), value=True)


def _softmax_over_rows(logits, p):
    ordered, places = logits.sort(dim=-1, descending=True)
    stays = _with_first(ordered.softmax(dim=0).cumsum(dim=-1) < p)
    return torch.empty_like(logits).scatter(-1, places, ordered.masked_fill(~stays, -math.inf))


def _sums_of_logits(logits, p):
    ordered, places = logits.sort(dim=-1, descending=True)
    ordered = ordered.masked_fill(~_with_first(ordered.cumsum(dim=-1) < p), -math.inf)
    return torch.empty_like(logits).scatter(-1, places, ordered)


def _taken_back_wrongly(logits, p):
    places = logits.argsort(dim=-1, descending=True)
    return my_top_p(logits, p).gather(-1, places).gather(-1, places)


def _with_ties(logits, p):
    kept = my_top_p(logits, p)
    least = kept.masked_fill(kept == -math.inf, math.inf).amin(dim=-1, keepdim=True)
    return logits.masked_fill(logits < least, -math.inf)


def _all_rows_as_one(logits, p):
    return my_top_p(logits.flatten()[None], p).view(logits.shape)


WRITE_TOP_P = Exercise(
    id="6.2",
    kind="build",
    points=4,
    minutes=20,
    name="my_top_p",
    ask=ask_6_2,
    use=use_6_2,
    right=my_top_p,
    also_right=(token_by_token, by_number),
    misconceptions={
        "You keep one too few: you look at the sum with the token in it, and so the token that "
        "reaches p is lost. It must stay.": _top_p(lambda c, total, p: total < p),
        "You keep one too few: a token may stay though the sum with it is above p. Ask what was "
        "collected before it.": _top_p(lambda c, total, p: total <= p),
        "You keep one too many where the sum is exactly p: then it is enough.": _top_p(
            lambda c, total, p: _with_first(total <= p)
        ),
        "The rule is upside down: there is a 1 - p in it, so a larger p keeps fewer.": _top_p(
            lambda c, total, p: _with_first(total <= 1 - p)
        ),
        "You keep the least likely tokens: collect from the most likely one on.": _top_p(
            lambda c, total, p: _with_first(total < p), descending=False
        ),
        "You hold each token's own chance against p: it is the sum that has to reach it.": _top_p(
            lambda c, total, p: c >= p
        ),
        "You keep a share p of the tokens: p is a share of the probability, and the number of "
        "tokens differs from row to row.": _top_p(
            lambda c, total, p: torch.arange(c.shape[1]).expand(c.shape) < math.ceil(p * c.shape[1])
        ),
        "All rows keep as many as the first: each row is judged alone.": _top_p(
            lambda c, total, p: _with_first(total < p)[:1].expand(c.shape)
        ),
        "All rows are one pool: each row has a softmax and a sum of its own.": _all_rows_as_one,
        "The softmax runs over the rows: it is the chances of one row that add up to 1, "
        "dim=-1.": _softmax_over_rows,
        "You add up logits: only chances, after the softmax, add up to 1.": _sums_of_logits,
        "The tokens are out of order: you return the sorted logits. Each must go back to its own "
        "place.": lambda logits, p: my_top_p(logits.sort(dim=-1, descending=True).values, p),
        "The tokens are out of order: the places say where each sorted logit came from, and you "
        "use them the other way round. `gather` fetches, `scatter` puts back.": _taken_back_wrongly,
        "You return chances: what stays keeps its logit, and the rest is -inf.": lambda logits, p: (
            my_top_p(logits, p).softmax(dim=-1)
        ),
        "What stays is changed: it keeps its logit as it was.": lambda logits, p: my_top_p(
            logits, p
        ).log_softmax(dim=-1),
        "What is forbidden has the logit 0, and so still a chance: it takes -inf to have "
        "none.": lambda logits, p: my_top_p(logits, p).masked_fill(
            my_top_p(logits, p) == -math.inf, 0.0
        ),
        "What is forbidden has a very low logit: it takes -inf to have no chance at all.": (
            lambda logits, p: my_top_p(logits, p).clamp(min=-1e9)
        ),
        "You return which tokens stay, not their logits.": lambda logits, p: (
            my_top_p(logits, p) != -math.inf
        ),
        "Of equal tokens you keep all: only as many stay as are needed to reach p.": _with_ties,
        "Nothing is forbidden.": lambda logits, p: logits.clone(),
    },
    tried="Eight tables: in any order, one token, p = 1, equal chances, a forbidden token.",
    forbids=("top_p", "sample_token"),
)

# 6.3 Each row stops at its own end


def ask_6_3(draw: Draw) -> list[Question]:
    other, more = draw.random.sample(range(1, 13), 2)
    questions = [
        _pages(draw, ends=[(2,), (4,)], first=1, length=7, eos=14, pad=0),
        _pages(draw, ends=[(1, 3), (4, 5), (3,)], first=2, length=7, eos=other, pad=more),
        _pages(draw, ends=[(2, 4), (), (0, 3)], first=3, length=5, eos=more, pad=other),
        _pages(draw, ends=[(2, 5), (2,)], first=1, length=6, eos=14, pad=0),  # in one step
        _pages(draw, ends=[(0,)], first=2, length=4, eos=other, pad=0),
        _pages(draw, ends=[(3,), (5,)], first=2, length=6, eos=14, pad=more),  # at the very end
    ]
    questions[5]["script"][0, 1] = more  # padding that the decoder itself writes ends nothing
    return questions


def _pages(draw: Draw, *, ends, first: int, length: int, eos: int, pad: int) -> Question:
    """What a decoder would write: eos at the places `ends` of each row, a letter elsewhere."""
    letters = torch.tensor([token for token in range(20) if token not in (eos, pad)])
    script = letters[draw.whole(0, len(letters), len(ends), length)]
    for row, places in enumerate(ends):
        script[row, list(places)] = eos
    start = letters[draw.whole(0, len(letters), len(ends), first)]
    return {"script": script, "start": start, "seq_len": length, "eos": eos, "pad": pad}


def use_6_3(write_pages, question):
    import torch

    script, start, asked = question["script"], question["start"], []
    ended, last = torch.zeros(len(start), dtype=torch.bool), start[:, -1]

    def next_token(tokens):
        nonlocal ended, last
        asked.append(tokens.shape[1])
        if len(asked) > 20:
            raise RuntimeError(f"next_token was called 20 times, for {question['seq_len']} tokens")
        new = script[:, (tokens.shape[1] - start.shape[1]) % script.shape[1]]
        # A row that goes on, and whose last token is not the one that was written, is misled.
        goes_on = (tokens[:, -1:] == last[:, None]).any(dim=1)
        last = torch.where(ended | goes_on, new, question["pad"])
        ended = ended | (new == question["eos"])
        return last.clone()

    ids = question["eos"], question["pad"]
    pages = write_pages(next_token, start, question["seq_len"], *ids)
    if pages is None or pages is ...:
        return pages
    pages = torch.as_tensor(pages)
    # Whether columns of padding alone are returned is free.
    while pages.dim() == 2 and pages.shape[1] and (pages[:, -1] == question["pad"]).all():
        pages = pages[:, :-1]
    return {
        "the new tokens": pages,
        "the number of tokens that next_token is given": torch.tensor(asked),
    }


def write_pages(next_token, start, seq_len, eos_token, pad_token):
    tokens, done = start, torch.zeros(len(start), dtype=torch.bool)
    for _ in range(seq_len):
        new = torch.where(done, pad_token, next_token(tokens))
        tokens = torch.cat((tokens, new[:, None]), dim=1)
        done = done | (new == eos_token)
        if done.all():
            break
    return tokens[:, start.shape[1] :]


def into_place(next_token, start, seq_len, eos_token, pad_token):
    """All columns from the beginning on, padding where nothing was written."""
    first = start.shape[1]
    tokens = F.pad(start, (0, seq_len), value=pad_token)
    going, end = [True] * len(start), first
    while any(going) and end < first + seq_len:
        new = next_token(tokens[:, :end]).tolist()
        for row in [row for row, goes in enumerate(going) if goes]:
            tokens[row, end] = new[row]
            going[row] = new[row] != eos_token
        end += 1
    return tokens[:, first:]


def erased_at_the_end(next_token, start, seq_len, eos_token, pad_token):
    """Rows write on, and what follows their first end is erased at last."""
    pages = start[:, :0]
    while pages.shape[1] < seq_len and not (pages == eos_token).any(dim=1).all():
        new = next_token(torch.cat((start, pages), dim=1))
        pages = torch.cat((pages, new[:, None]), dim=1)
    ended = (pages == eos_token).long().cumsum(dim=1) - (pages == eos_token).long()
    return pages.masked_fill(ended > 0, pad_token)


def _fill(new, done, eos, pad):
    new = torch.where(done, pad, new)
    return new, done | (new == eos)


def _writer(step=_fill, *, feed=None, leave=None, give=None, count=None):
    """`write_pages` with one part replaced.

    Args:
        step: from new tokens and rows done to what is appended, and to the rows done now.
        feed: from all tokens, start and seq_len to what the decoder is given.
        leave: from the rows done, those done before, and the decoder's tokens being an end.
        give: from all tokens and the length of the start to what is returned.
        count: from seq_len and the length of the start to the number of steps.
    """
    feed = feed or (lambda tokens, start, seq_len: tokens)
    leave = leave or (lambda done, before, ends: done.all())
    give = give or (lambda tokens, first: tokens[:, first:])
    count = count or (lambda seq_len, first: seq_len)

    def write(next_token, start, seq_len, eos_token, pad_token):
        tokens, done = start, torch.zeros(len(start), dtype=torch.bool)
        for _ in range(count(seq_len, start.shape[1])):
            written, before = next_token(feed(tokens, start, seq_len)), done
            new, done = step(written, done, eos_token, pad_token)
            tokens = torch.cat((tokens, new[:, None]), dim=1)
            if leave(done, before, written == eos_token):
                break
        return give(tokens, start.shape[1])

    return write


def _end_lost(new, done, eos, pad):
    done = done | (new == eos)
    return torch.where(done, pad, new), done


def _forgetful(new, done, eos, pad):
    new = torch.where(done, pad, new)
    return new, new == eos


def _writes_on(new, done, eos, pad):
    return new, done | (new == eos)


def _padding_ends(new, done, eos, pad):
    new = torch.where(done, pad, new)
    return new, done | (new == eos) | (new == pad)


def _unwritten(tokens, start, seq_len):
    return F.pad(start, (0, tokens.shape[1] - start.shape[1]), value=19)


EACH_ROW_STOPS = Exercise(
    id="6.3",
    kind="build",
    points=4,
    minutes=15,
    name="write_pages",
    ask=ask_6_3,
    use=use_6_3,
    right=write_pages,
    also_right=(into_place, erased_at_the_end),
    misconceptions={
        "The stop itself is missing: it still belongs to the page, and only what follows it is "
        "padding.": _writer(_end_lost),
        "A row came back to life: a row that ended earlier stays done, whatever it writes "
        "now.": _writer(_forgetful),
        "A row writes on after its end: what follows its first end is padding.": _writer(
            _writes_on
        ),
        "Rows write on after their ends, and nobody stops.": _writer(
            _writes_on, leave=lambda done, before, ends: False
        ),
        "You stop only where all rows write their end in the same step: rows end at different "
        "times, so remember who is done.": _writer(
            _writes_on, leave=lambda done, before, ends: ends.all()
        ),
        "The pages are right, and you go on asking after all rows are done.": _writer(
            leave=lambda done, before, ends: False
        ),
        "The pages are right, and you ask once more after all rows are done: see who is done "
        "before the next step.": _writer(leave=lambda done, before, ends: before.all()),
        "You stop as soon as one row is done: the others have not finished.": _writer(
            leave=lambda done, before, ends: done.any()
        ),
        "The start is in what you return: only the new tokens are asked for.": _writer(
            give=lambda tokens, first: tokens
        ),
        "You take one token for the start: it may be longer.": _writer(
            give=lambda tokens, first: tokens[:, 1:]
        ),
        "A finished row is filled with its end token: what follows is padding.": _writer(
            lambda new, done, eos, pad: _fill(new, done, eos, eos)
        ),
        "A finished row is filled with 0, and not with pad_token.": _writer(
            lambda new, done, eos, pad: _fill(new, done, eos, 0)
        ),
        "You wait for token 14, the stop of this chapter, and not for eos_token.": _writer(
            lambda new, done, eos, pad: _fill(new, done, 14, pad)
        ),
        "Padding that the decoder writes itself ends a row: only eos_token does.": _writer(
            _padding_ends
        ),
        "next_token is given the last token alone: it takes all tokens so far.": _writer(
            feed=lambda tokens, start, seq_len: tokens[:, -1:]
        ),
        "next_token is given the new tokens without the start: it takes all tokens so "
        "far.": _writer(feed=lambda tokens, start, seq_len: tokens[:, start.shape[1] :]),
        "next_token is given the same start again and again: what was written must be "
        "appended.": _writer(feed=lambda tokens, start, seq_len: start),
        "next_token is given places that are not written yet: it takes the tokens so far, and no "
        "more.": _writer(
            feed=lambda tokens, start, seq_len: F.pad(
                tokens, (0, start.shape[1] + seq_len - tokens.shape[1])
            )
        ),
        "next_token is given other tokens than those that were written: a decoder goes on from its "
        "own words.": _writer(feed=_unwritten),
        "seq_len counts the new tokens, without the start.": _writer(
            count=lambda seq_len, first: seq_len - first
        ),
        "You write one token too few: seq_len new ones are asked for, where a row does not "
        "end.": _writer(count=lambda seq_len, first: seq_len - 1),
        "A row may never end: seq_len is the most that is written.": _writer(
            count=lambda seq_len, first: 1000
        ),
    },
    tried="Six batches: an end at once, one at the very end, all in one step, and never.",
    forbids=("AutoregressiveWrapper",),
)

# 6.4 Find the broken cache

CACHES = ["plain", "whole table", "at the start", "at the end", "later pieces", "left edge"]
CACHES += ["emptied", "near only"]


def ask_6_4(draw: Draw) -> list[Question]:
    lengths = [10] + [draw.random.choice((5, 6, 8)) for _ in CACHES[1:]]
    return [
        {
            "kind": kind,
            "x": draw.normal(2, n, 3),
            "maps": draw.normal(3, 3, 3),
            "by distance": 2 * draw.normal(n),
        }
        for kind, n in zip(CACHES, lengths, strict=True)
    ]


def use_6_4(is_faithful, question):
    import torch

    from memformer_lite import DecoderCache

    kind, maps, table = question["kind"], question["maps"], question["by distance"]

    def rel_pos_emb(q_len, k_len, q_start=0):
        rows, keys = torch.arange(q_start, q_start + q_len), torch.arange(k_len)
        return table[(rows[:, None] - keys).clamp(0, len(table) - 1)][None, None]

    class OneAttention(torch.nn.Module):  # a decoder cut down to what a cache is needed for
        def __init__(self):
            super().__init__()
            self.rel_pos_emb = rel_pos_emb

        def forward(self, x, cache=None):
            def project(source):
                return (source @ maps[0])[:, None], (source @ maps[1])[:, None]

            i = x.shape[1]
            bias = rel_pos_emb(i, i) if cache is None else cache.bias(rel_pos_emb, i)
            keys, values = project(x) if cache is None else cache.layer(0)[0](project, x)
            scores = (x @ maps[2])[:, None] @ keys.mT + bias
            ahead = torch.ones_like(scores, dtype=torch.bool).triu(keys.shape[2] - i + 1)
            found = scores.masked_fill(ahead, float("-inf")).softmax(dim=-1) @ values
            if cache is not None:
                cache.length += i
            return x + found[:, 0]

    class Cache(DecoderCache):
        def bias(self, rel_pos_emb, n):
            end = self.length + n
            if end > self.max_length:
                raise ValueError(f"cache: expected at most {self.max_length} tokens, got {end}")
            if kind == "whole table":
                return rel_pos_emb(end, end)[:, :, -n:]
            if kind == "at the start" or (kind == "later pieces" and n > 1):
                return rel_pos_emb(n, end)
            if kind == "at the end":
                return rel_pos_emb(1, end, end - 1).expand(-1, -1, n, -1)
            if kind == "left edge" and n == 1:
                return rel_pos_emb(1, self.max_length, self.max_length - 1)[..., :end]
            if kind == "near only":
                return rel_pos_emb(n, end, min(self.length, 3))
            return super().bias(rel_pos_emb, n)

        def layer(self, index):
            growing, fixed = super().layer(index)

            def emptied(project, source):
                keys, values = growing(project, source)
                old = torch.arange(keys.shape[2]) < keys.shape[2] - source.shape[1]
                return keys.masked_fill(old[:, None], 0.0), values

            return emptied if kind == "emptied" else growing, fixed

    found = is_faithful(Cache, OneAttention(), question["x"])
    return found if found is None or found is ... else bool(found)


def _in_pieces(cache_class, decoder, x, sizes) -> Tensor:
    cache = cache_class(x.shape[1])
    return torch.cat([decoder(part, cache=cache) for part in x.split(sizes, dim=1)], dim=1)


def is_faithful(cache_class, decoder, x):
    whole = decoder(x)
    for size in (1, 2, 3):
        cache = cache_class(x.shape[1])
        parts = [decoder(part, cache=cache) for part in x.split(size, dim=1)]
        if not torch.allclose(torch.cat(parts, dim=1), whole):
            return False
    return True


def in_one_mixed_cut(cache_class, decoder, x):
    cache, whole, end = cache_class(x.shape[1]), decoder(x), 0
    for size in islice(cycle((1, 2, 1, 3)), x.shape[1]):
        part = x[:, end : end + size]
        if part.shape[1] == 0:
            break
        rows = decoder(part, cache=cache)
        if (rows - whole[:, end : end + size]).abs().max() > 1e-8:
            return False
        end += size
    return True


def at_every_place(cache_class, decoder, x):
    n = x.shape[1]
    cuts = [[1] * n] + [[first, n - first] for first in range(1, n)]
    whole = decoder(x)
    return all(
        (_in_pieces(cache_class, decoder, x, cut) - whole).abs().max() < 1e-8 for cut in cuts
    )


def _judged_by(*cuts, view=lambda rows: rows, verdict=all):
    """Look at some cuts only; each is a function from the number of tokens to sizes."""

    def faithful(cache_class, decoder, x):
        whole = view(decoder(x))
        parts = (_in_pieces(cache_class, decoder, x, cut(x.shape[1])) for cut in cuts)
        return verdict(torch.allclose(view(part), whole) for part in parts)

    return faithful


def _first_then_singles(cache_class, decoder, x):
    sizes = [3] + [1] * (x.shape[1] - 3)
    return torch.allclose(_in_pieces(cache_class, decoder, x, sizes), decoder(x))


def _two_pieces(cache_class, decoder, x):
    x = x[:, :4]
    return torch.allclose(_in_pieces(cache_class, decoder, x, [3, 1]), decoder(x))


def _same_bias(cache_class, decoder, x):
    for size in (1, 2, 3):
        cache = cache_class(x.shape[1])
        for part in x.split(size, dim=1):
            n, start = part.shape[1], cache.length
            right = decoder.rel_pos_emb(n, start + n, start)
            if not torch.allclose(cache.bias(decoder.rel_pos_emb, n), right):
                return False
            cache.length += n
    return True


def _one_cache(cache_class, decoder, x, room=None):
    cache, whole = cache_class(room or x.shape[1]), decoder(x)
    for size in (1, 2, 3):
        parts = [decoder(part, cache=cache) for part in x.split(size, dim=1)]
        if not torch.allclose(torch.cat(parts, dim=1), whole):
            return False
    return True


def _room_for_nine(cache_class, decoder, x):
    return is_faithful(lambda length: cache_class(9), decoder, x)


FIND_THE_BROKEN_CACHE = Exercise(
    id="6.4",
    kind="detect",
    points=4,
    minutes=15,
    name="is_faithful",
    ask=ask_6_4,
    use=use_6_4,
    right=is_faithful,
    also_right=(in_one_mixed_cut, at_every_place),
    misconceptions={
        "Your text is in one piece: then nothing that was kept is ever used again. Cut "
        "it.": _judged_by(lambda n: n),
        "You cut into single tokens only: one cache is right for these, and wrong for several new "
        "rows at once.": _judged_by(lambda n: 1),
        "You cut into larger pieces only: one cache is wrong for single tokens alone.": _judged_by(
            lambda n: [3, n - 3], lambda n: [2, 2, n - 4]
        ),
        "After the first piece you go on one by one: one cache is wrong only where several new "
        "rows come later.": _first_then_singles,
        "You stop after a few tokens: one cache is right for those, and wrong further "
        "on.": _two_pieces,
        "You compare the last row only: earlier rows can be wrong where the last is right.": (
            _judged_by(lambda n: 1, lambda n: 2, lambda n: 3, view=lambda rows: rows[:, -1])
        ),
        "You compare shapes, or nothing: all of these caches run, with the right shapes. Compare "
        "the numbers.": lambda cache_class, decoder, x: True,
        "You call every cache broken. Does each cut have a new cache, and does a cache get each "
        "token once? And rounding changes the last digits, so `equal` is too strict.": (
            lambda cache_class, decoder, x: False
        ),
        "One cut that agrees is not enough: the rows must agree for all of them.": _judged_by(
            lambda n: 1, lambda n: 2, lambda n: 3, verdict=any
        ),
        "True and False are exchanged: True means faithful.": lambda cache_class, decoder, x: (
            not is_faithful(cache_class, decoder, x)
        ),
        "You look at the position bias only: a cache also keeps keys and values. Compare the rows "
        "that the decoder returns.": _same_bias,
        "The cache is full: each cut needs a new one.": _one_cache,
        "The cache has room for 9 tokens, whatever the text is: make it as long as x.": (
            _room_for_nine
        ),
    },
    tried="Eight caches: two that are faithful, and six that are broken, each in its own way.",
)

EXERCISES = (
    A_TRIANGLE_THAT_HAS_MOVED,
    WRITE_TOP_P,
    EACH_ROW_STOPS,
    FIND_THE_BROKEN_CACHE,
)
