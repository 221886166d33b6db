"""The replay stage's steps: JavaScript equals Python, and both equal what the package does."""

import itertools
import weakref

import pytest
import torch
from widget_pages import compute

from memformer_lite import bptt_backward, replay, replay_backward
from memformer_lite.widgets import ReplayStage
from memformer_lite.widgets.replay_stage import (
    LOSSES,
    METHODS,
    SURVIVES,
    Moment,
    memories,
    schedule,
)

GRID = [
    {"method": method, "pages": pages, "losses": losses, "detach_every": every, "a": a}
    for method, losses, pages, a in itertools.product(METHODS, LOSSES, range(1, 9), SURVIVES)
    for every in (range(1, pages + 2) if method == "truncated" else [1])
]


@pytest.fixture(scope="module")
def tab(bench):
    with bench.tab(bench.write()) as tab:
        yield tab


def test_every_moment_equals_pythons(tab):
    body = "return argument.map((o) => [m.schedule(o), m.memories(o.pages, o.a)]);"
    assert len(GRID) == 480
    for options, (moments, found) in zip(GRID, compute(tab, ReplayStage, body, GRID), strict=True):
        assert moments == [moment._asdict() for moment in schedule(**options)], options
        assert found == memories(options["pages"], options["a"])


def test_costs_are_the_most_and_the_sums_so_far(tab):
    body = """return argument.map((o) => {
      const moments = m.schedule(o);
      return moments.map((_, at) => m.costOf(moments, at));
    });"""
    for options, costs in zip(GRID, compute(tab, ReplayStage, body, GRID), strict=True):
        moments, most_graphs, most_notes = schedule(**options), 0, 0
        for moment, cost in zip(moments, costs, strict=True):
            most_graphs = max(most_graphs, len(moment.graphs))
            most_notes = max(most_notes, len(moment.notes))
            by_a = cost.pop("byA")
            assert by_a == pytest.approx(sum(share or 0 for share in moment.shares), rel=1e-12)
            assert cost == {
                "forwards": moment.forwards,
                "backwards": moment.backwards,
                "graphs": most_graphs,
                "notes": most_notes,
                "byM0": moment.gradients[0],
            }


# The truth: what the package's functions do with the same number


class OnePage(torch.autograd.Function):
    """`a m + page`, and a word to the run when it is sent back."""

    @staticmethod
    def forward(ctx, m, a, page, run):
        ctx.save_for_backward(m, a)
        ctx.page, ctx.run = page, run
        return a * m + page

    @staticmethod
    def backward(ctx, gradient):
        m, a = ctx.saved_tensors
        handed = a * gradient if ctx.needs_input_grad[0] else None
        share = gradient * m
        ctx.run.sent_back(ctx.page, gradient, handed, share)
        return handed, share, None, None


class Saved:
    """A tensor that a graph keeps, with the page that it belongs to."""

    def __init__(self, tensor, page):
        self.tensor, self.page = tensor, page


class Run:
    """A real run of one method, and what was seen at each page that was read or sent back."""

    def __init__(self, monkeypatch, *, method, pages, losses, detach_every, a):
        self.a = torch.tensor(a, dtype=torch.float64, requires_grad=True)
        self.m0 = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        self.asked = range(1, pages + 1) if losses == "every" else [pages]
        self.seen, self.alive, self.leaves = [], weakref.WeakSet(), []
        self.gradients, self.shares = [None] * (pages + 1), [None] * pages
        make_leaf = replay._leaf
        monkeypatch.setattr(replay, "_leaf", lambda tensor: self.watch(make_leaf(tensor)))
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda saved: saved.tensor):
            segments = range(1, pages + 1)
            if method == "replay":
                self.result = replay_backward(self.step, segments, self.m0)
            else:
                every = detach_every if method == "truncated" else None
                self.result = bptt_backward(self.step, segments, self.m0, detach_every=every)
        self.page = 0
        self.settle()
        self.see("end")

    def watch(self, leaf):
        self.leaves.append(weakref.ref(leaf))
        return leaf

    def pack(self, tensor):
        saved = Saved(tensor.detach(), self.page)
        self.alive.add(saved)
        return saved

    def buffer(self):
        return [t for t, leaf in enumerate(self.leaves, 1) if leaf() is not None]

    def step(self, page, m):
        self.settle()
        self.page = page
        end = OnePage.apply(m, self.a, page, self)
        loss = end * end if page in self.asked else None
        again = any(moment.page == page for moment in self.seen)
        action = ("reread" if again else "read") if torch.is_grad_enabled() else "note"
        self.see(action)
        return loss, end

    def settle(self):
        """The note of a page is made after its step: look again before the next one."""
        if self.seen and self.seen[-1].action == "note":
            self.seen[-1] = self.seen[-1]._replace(notes=self.buffer())

    def sent_back(self, page, gradient, handed, share):
        self.page = page
        self.gradients[page], self.shares[page - 1] = gradient.item(), share.item()
        if handed is not None:
            handed = self.gradients[page - 1] = handed.item()
        self.see("back", handed)

    def see(self, action, handed=None):
        graphs = sorted({saved.page for saved in self.alive})
        known = list(self.gradients), handed, list(self.shares)
        before = [moment.action for moment in self.seen] + [action]
        backwards = before.count("back")
        forwards = len(before) - backwards - (action == "end")
        self.seen.append(
            Moment(action, self.page, graphs, self.buffer(), *known, forwards, backwards)
        )


@pytest.mark.parametrize("method", METHODS)
def test_moments_are_what_the_package_does(method, monkeypatch):
    """Order, graphs alive, notes kept, every gradient and share, passes: step by step, exactly."""
    compared = 0
    for options in GRID:
        if options["method"] != method:
            continue
        with monkeypatch.context() as patch:
            run = Run(patch, **options)
        told = schedule(**options)
        assert run.seen == [moment for moment in told if moment.action != "cut"], options
        m, last = memories(options["pages"], options["a"]), told[-1]
        assert run.result.mem.item() == m[-1]
        assert run.result.loss.item() == pytest.approx(sum(m[page] ** 2 for page in run.asked))
        assert run.a.grad.item() == pytest.approx(sum(share or 0 for share in last.shares))
        assert (run.m0.grad and run.m0.grad.item()) == last.gradients[0]
        compared += 1
    assert compared >= 64


def test_cuts_are_where_the_package_detaches():
    """The memory that a page gets has no past after a cut, and has one elsewhere."""
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    for options in GRID:
        if options["method"] != "truncated":
            continue
        detached = []

        def step(page, m, detached=detached):
            if not m.requires_grad:
                detached.append(page - 1)
            m = m * weight
            return m, m

        segments, every = range(1, options["pages"] + 1), options["detach_every"]
        bptt_backward(step, segments, weight * 1, detach_every=every)
        cuts = [moment.page for moment in schedule(**options) if moment.action == "cut"]
        assert cuts == detached, options


def test_replay_ends_with_the_gradients_of_bptt_and_truncation_does_not():
    missed = 0
    for options in GRID:
        full = schedule(**options | {"method": "bptt"})[-1]
        mine = schedule(**options)[-1]
        same = (mine.gradients, mine.shares) == (full.gradients, full.shares)
        whole = options["method"] != "truncated" or options["detach_every"] >= options["pages"]
        assert same == whole, options
        missed += not same
    assert missed == 2 * 28 * 4
