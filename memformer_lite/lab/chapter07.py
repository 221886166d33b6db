"""Exercises of chapter 07: the full model."""

import torch
import torch.nn.functional as F

from memformer_lite.lab.exercise import Draw, Exercise, Question

# 7.1 Assemble one step


def ask_7_1(draw: Draw) -> list[Question]:
    sizes = {"dim": 4, "num_memory_slots": 3, "mem_update_attn_heads": 2}
    for side in ("enc", "dec"):
        sizes |= {f"{side}_num_tokens": 7, f"{side}_max_seq_len": 5}
        sizes |= {f"{side}_depth": 1, f"{side}_heads": 2}
    first = {"src": draw.whole(0, 7, 2, 5), "tgt": draw.whole(0, 7, 2, 2)}
    # As many tokens as slots, and as many targets: a wrong mask fits, and shows in the numbers.
    later = {"src": draw.whole(0, 7, 3, 3), "tgt": draw.whole(0, 7, 3, 3)}
    later["mems"] = draw.normal(3, 3, 4)
    later["src_mask"] = torch.arange(3) < torch.tensor([[3], [draw.random.choice((1, 2))], [0]])
    later["tgt_mask"] = torch.arange(3) < torch.tensor([[2], [3], [3]])
    return [{"sizes": sizes, "first": first, "later": later}]


def use_7_1(one_step, question):
    import torch

    from memformer_lite import Memformer
    from memformer_lite.lab.using import with_gradients

    class WholeModelCalled(Exception):
        pass

    class Parts(torch.nn.Module):
        def __init__(self, whole):
            super().__init__()
            self.encoder, self.decoder = whole.encoder, whole.decoder
            self.memory_slots, self.memory_writer = whole.memory_slots, whole.memory_writer
            self.get_initial_mem = whole.get_initial_mem

        def forward(self, *inputs, **options):
            raise WholeModelCalled("the model itself was called, and not its parts")

    def named(results):
        names = {f"output {i}": x for i, x in enumerate(("encoder output", "memory", "loss"), 1)}
        return {names.get(name, name): value for name, value in results.items()}

    def step(src, tgt, mems=None, src_mask=None, tgt_mask=None):
        return one_step(model, src, tgt, mems, src_mask=src_mask, tgt_mask=tgt_mask)

    torch.manual_seed(0)
    model = Parts(Memformer(**question["sizes"]).double()).requires_grad_(False)
    # One weight of each part: enough to see whether a gradient arrives, and which.
    weights = {
        "encoder": model.encoder.token_emb.weight,
        "decoder": model.decoder.net.token_emb.weight,
        "writer": model.memory_writer.attention.to_q.weight,
    }
    with torch.no_grad():
        results = step(**question["first"])
    if not isinstance(results, (tuple, list)):
        return results
    first = named({f"output {i}": x for i, x in enumerate(results, 1)})
    for weight in weights.values():
        weight.requires_grad_()
    later = named(with_gradients(step, **question["later"]))
    later |= {f"the gradient of the {part}": weight.grad for part, weight in weights.items()}
    pages = {"first": first, "later": later}
    return {
        f"{name} ({page} page)": x for page, found in pages.items() for name, x in found.items()
    }


def one_step(model, src, tgt, mems=None, src_mask=None, tgt_mask=None):
    if mems is None:
        mems = model.get_initial_mem(src.shape[0])
    enc_out = model.encoder(src, context=mems, src_mask=src_mask)
    loss = model.decoder(tgt, context=enc_out, tgt_mask=tgt_mask, src_mask=src_mask)
    return enc_out, model.memory_writer(mems, enc_out, src_mask), loss


def write_then_decode(model, src, tgt, mems=None, src_mask=None, tgt_mask=None):
    before = model.get_initial_mem(len(src)) if mems is None else mems
    enc_out = model.encoder(src, src_mask=src_mask, context=before)
    after = model.memory_writer(before, enc_out, src_mask, model.memory_slots)
    return [
        enc_out,
        after,
        model.decoder(tgt, context=enc_out, src_mask=src_mask, tgt_mask=tgt_mask),
    ]


def by_logits(model, src, tgt, mems=None, src_mask=None, tgt_mask=None):
    """The loss from the decoder's net: each target token is guessed from those before it."""
    if mems is None:
        mems = model.memory_slots.expand(src.shape[0], -1, -1)  # the GRU starts at these
    enc_out = model.encoder(src, context=mems, src_mask=src_mask)
    seen = None if tgt_mask is None else tgt_mask[:, :-1]
    logits = model.decoder.net(tgt[:, :-1], context=enc_out, tgt_mask=seen, src_mask=src_mask)
    told = tgt[:, 1:] if tgt_mask is None else tgt[:, 1:].masked_fill(~tgt_mask[:, 1:], -100)
    loss = F.cross_entropy(logits.flatten(0, 1), told.flatten())
    return enc_out, model.memory_writer(mems, enc_out, src_mask), loss


def _step(*, start=None, encode=None, decode=None, write=None, give=None):
    """One step with some of its calls done otherwise.

    `start` gets model, rows and memory; the three calls get model, memory, encoder output (where
    there is one) and masks as the names below; `give` gets encoder output, both memories and loss.
    """

    def wrong(model, src, tgt, mems=None, src_mask=None, tgt_mask=None):
        known = {"src": src, "tgt": tgt, "src_mask": src_mask, "tgt_mask": tgt_mask}
        if start is not None:
            mems = start(model, len(src), mems)
        elif mems is None:
            mems = model.get_initial_mem(len(src))
        enc_out = (encode or _encode)(model, mems, **known)
        loss = (decode or _decode)(model, mems, enc_out, **known)
        after = (write or _write)(model, mems, enc_out, **known)
        return (enc_out, after, loss) if give is None else give(enc_out, mems, after, loss)

    return wrong


def _encode(model, mems, *, src, src_mask, **_):
    return model.encoder(src, context=mems, src_mask=src_mask)


def _decode(model, mems, enc_out, *, tgt, src_mask, tgt_mask, **_):
    return model.decoder(tgt, context=enc_out, src_mask=src_mask, tgt_mask=tgt_mask)


def _write(model, mems, enc_out, *, src_mask, **_):
    return model.memory_writer(mems, enc_out, src_mask)


def _zeros(model, rows, mems):
    slots = model.memory_slots
    return slots.new_zeros(rows, *slots.shape) if mems is None else mems


def reads_new(model, src, tgt, mems=None, src_mask=None, tgt_mask=None):
    _, new, _ = one_step(model, src, tgt, mems, src_mask, tgt_mask)
    enc_out, _, loss = one_step(model, src, tgt, new, src_mask, tgt_mask)
    return enc_out, new, loss


ASSEMBLE_ONE_STEP = Exercise(
    id="7.1",
    kind="build",
    points=4,
    minutes=15,
    name="one_step",
    ask=ask_7_1,
    use=use_7_1,
    right=one_step,
    also_right=(write_then_decode, by_logits),
    misconceptions={
        "The model itself is called: put the step together from its parts.": (
            lambda model, src, tgt, mems=None, **masks: model(src, tgt, mems, **masks)
        ),
        "The encoder output differs: nothing is read. The memory goes into the encoder as its "
        "context.": _step(
            encode=lambda model, mems, *, src, src_mask, **_: model.encoder(src, src_mask=src_mask)
        ),
        "The encoder looks at padding: it needs the mask of the source.": _step(
            encode=lambda model, mems, *, src, **_: model.encoder(src, context=mems)
        ),
        "The memory that is handed in is forgotten: the initial one is for the first page "
        "only.": _step(start=lambda model, rows, mems: model.get_initial_mem(rows)),
        "The first page reads zeros: the model has learned slots for its start.": _step(
            start=_zeros
        ),
        "The memory is right and the loss is not: the decoder looks at the memory. It must look at "
        "the encoder output.": _step(
            decode=lambda model, mems, enc_out, *, tgt, tgt_mask, **_: model.decoder(
                tgt, context=mems, tgt_mask=tgt_mask
            )
        ),
        "The memory is right and the loss is not: the decoder looks at the new memory. It must "
        "look at the encoder output.": _step(
            decode=lambda model, mems, enc_out, *, tgt, src_mask, tgt_mask, **_: model.decoder(
                tgt, context=model.memory_writer(mems, enc_out, src_mask), tgt_mask=tgt_mask
            )
        ),
        "You write first: the encoder must read the memory from before this page.": reads_new,
        "The memory is right and the loss is not: the decoder looks at padding of the "
        "source.": _step(
            decode=lambda model, mems, enc_out, **known: _decode(
                model, mems, enc_out, **known | {"src_mask": None}
            )
        ),
        "The memory is right and the loss is not: padding of the target counts as if it had to be "
        "guessed.": _step(
            decode=lambda model, mems, enc_out, **known: _decode(
                model, mems, enc_out, **known | {"tgt_mask": None}
            )
        ),
        "The memory is right and the loss is not: the decoder's two masks have each other's "
        "place.": _step(
            decode=lambda model, mems, enc_out, **known: _decode(
                model,
                mems,
                enc_out,
                tgt=known["tgt"],
                src_mask=known["tgt_mask"],
                tgt_mask=known["src_mask"],
            )
        ),
        "The encoder output is right, the memory is not: padding is written. The writer needs the "
        "mask of the source.": _step(
            write=lambda model, mems, enc_out, **_: model.memory_writer(mems, enc_out)
        ),
        "Memory and encoder output have each other's place in the writer: slots look at tokens.": (
            _step(write=lambda model, mems, enc_out, **known: _write(model, enc_out, mems, **known))
        ),
        "The memory comes out as it went in: return what the writer makes.": _step(
            give=lambda enc_out, before, after, loss: (enc_out, before, loss)
        ),
        "The three results are right and stand in another order: encoder output, memory, "
        "loss.": _step(give=lambda enc_out, before, after, loss: (enc_out, loss, after)),
        "The numbers are right and have no past, so nothing can learn: what detaches "
        "them?": torch.no_grad()(one_step),
        "The new memory is detached: later pages could not teach the write.": _step(
            give=lambda enc_out, before, after, loss: (enc_out, after.detach(), loss)
        ),
    },
    tried="Results and gradients agree: a first page, and a later one with both masks.",
    forbids=("Memformer",),
)

# 7.2 Find the two documents that were merged


def _log(batches: list[int], slots: int, dim: int, *, careful: bool = False) -> list:
    """Return what the job writes down: for each page the rows of the source, and the shape.

    A careful job drops a row of the memory where a document ends, and adds one where one begins.
    The reference merges only where one row meets a memory of several, and fails one page later.
    """
    log, found = [], (batches[0], slots)
    for rows in batches:
        if careful or found[1] != slots:  # after an error the page starts anew
            found = (rows, slots)
        elif rows != found[0]:
            found = (1, found[0] * slots)
        log.append((rows, (*found, dim)))
    return log


def ask_7_2(draw: Draw) -> list[Question]:
    slots, dim = draw.random.choice(((3, 5), (5, 3), (7, 2))), draw.random.choice((6, 14))
    whole, late = draw.random.choice((1, 2, 3)), draw.random.choice((2, 3))
    logs = [
        (_log([2] * (whole + 1) + [1], slots[0], dim), slots[0]),
        (_log([2] * whole + [1] * (late + 1), slots[0], dim), slots[0]),
        (_log([2, 2, 1, 1], 4, dim, careful=True), 4),
        (_log([1, 2, 2, 2, 1], 4, dim, careful=True), 4),
        (_log([2, 2], 8, dim), 8),  # eight slots are no merger in a model of eight
        (_log([2, 1, 1, 1], slots[1], dim), slots[1]),
        (_log([3] * late + [1, 1], slots[1], dim), slots[1]),  # three at once
        (_log([1, 1, 1], slots[0], dim), slots[0]),
        # A second pair is merged in the same night.
        (_log([2, 1, 1], 4, dim) + _log([2, 1], 4, dim), 4),
    ]
    return [{"logs": logs}]


def use_7_2(merged_on, question):
    pages = [merged_on(log, slots) for log, slots in question["logs"]]
    if all(page is None for page in pages):
        return None
    # Who returns nothing where nothing was merged has said it as well as with 0.
    return {f"log {i}": 0 if page is None else page for i, page in enumerate(pages, 1)}


def merged_on(log, slots):
    for page, (_, (_, found, _)) in enumerate(log, start=1):
        if found != slots:  # the slots of several rows, side by side
            return page
    return 0


def by_list(log, slots):
    wrong = [i for i in range(len(log)) if log[i][1][1] != slots]
    return min(wrong) + 1 if wrong else None


def by_next(log, slots):
    pages = (i + 1 for i, (rows, shape) in enumerate(log) if shape[0] * shape[1] != rows * slots)
    return next(pages, 0)


def _smaller(log, slots):
    for i in range(1, len(log)):
        if log[i][0] < log[i - 1][0]:
            return i + 1
    return 0


def _changed(log, slots):
    for i in range(1, len(log)):
        if log[i][1] != log[i - 1][1]:
            return i + 1
    return 0


FIND_THE_MERGED = Exercise(
    id="7.2",
    kind="detect",
    points=3,
    minutes=10,
    name="merged_on",
    ask=ask_7_2,
    use=use_7_2,
    right=merged_on,
    also_right=(by_list, by_next),
    misconceptions={
        "You look for the page on which the batch gets smaller. That is no fault where the "
        "memory's row left too: look at the slots.": _smaller,
        "You look for the page on which the memory changes its shape. It also does where a "
        "document ends or begins and its row goes or comes: look at the slots alone.": _changed,
        "You find no merger in any log. After it the source has 1 row and the memory has 1 row: "
        "they agree, and the slots do not.": lambda log, slots: next(
            (i for i, (rows, shape) in enumerate(log, 1) if rows != shape[0]), 0
        ),
        "You look for the first page with one row. One row is no fault: look at the "
        "slots.": lambda log, slots: next(
            (i for i, (rows, _) in enumerate(log, 1) if rows == 1), 0
        ),
        "You say whether, and not on which page.": lambda log, slots: merged_on(log, slots) > 0,
        "You count from 0: the first page is page 1.": lambda log, slots: max(
            merged_on(log, slots) - 1, 0
        ),
        "One page too late, where the error comes. Each line has the memory that came out of its "
        "own page.": lambda log, slots: merged_on(log, slots) and merged_on(log, slots) + 1,
        "You look at the last page only: the job may have gone on.": lambda log, slots: (
            len(log) if log[-1][1][1] != slots else 0
        ),
        "You say the last page, whatever the log holds.": lambda log, slots: len(log),
        "You find the last merger: the first is asked for.": lambda log, slots: max(
            [0, *(i for i, (_, shape) in enumerate(log, 1) if shape[1] != slots)]
        ),
        "You expect four slots, whatever the model has.": lambda log, slots: merged_on(log, 4),
        "You expect twice the slots: three documents can be merged as well.": lambda log, slots: (
            next((i for i, (_, shape) in enumerate(log, 1) if shape[1] == 2 * slots), 0)
        ),
    },
    tried="Nine logs: merged early, late, twice and never, and with rows that came and went.",
)

# 7.3 Where does the second page's loss reach?

PARTS = ("encoder", "read", "slots", "write", "decoder")
REPLACED = {  # page 2 gets a memory that has nothing to do with page 1
    "erased": "page 2 gets a memory of zeros in place of the one after page 1.",
    "noise": "page 2 gets a memory drawn at random in place of the one after page 1.",
    "borrowed": "page 2 gets the memory of another story, loaded from a file.",
}
KEPT = {  # what page 2 reads are the initial slots themselves
    "padded": "page 1 is all padding (`src_mask` False everywhere).",
    "restarted": "page 2 gets the initial memory once more, by `get_initial_mem`.",
    "skipped": "after page 1 the writer is not called: page 2 gets the memory that page 1 got.",
}
FIXED = {  # right numbers, no past
    "fixed": "the first page is read under `torch.no_grad()`.",
    "detached": "the memory is detached between the two pages.",
    "stored": "the memory after page 1 is saved to a file, and page 2 loads it.",
}
CASES = REPLACED | KEPT | FIXED


def ask_7_3(draw: Draw) -> list[Question]:
    cases = [draw.random.choice(sorted(group)) for group in (REPLACED, KEPT, FIXED)]
    draw.random.shuffle(cases)
    return [{"cases": cases}]


def use_7_3(answer, question):
    # In Python {} is an empty dict; here it can only mean an empty set.
    return {case: set() if parts == {} else parts for case, parts in answer.items()}


def text_7_3(question: Question) -> str:
    return "\n".join(f'- `"{case}"`: {CASES[case]}' for case in question["cases"])


def nothing_for(question: Question) -> dict:
    return {case: {"write"} if case in KEPT else {"slots", "write"} for case in question["cases"]}


def _of(group, *parts):
    """An answer that gives these parts for the cases of one group, and is right about others."""
    return lambda question: {case: set(parts) for case in question["cases"] if case in group}


WHERE_THE_LOSS_REACHES = Exercise(
    id="7.3",
    kind="predict",
    points=3,
    minutes=10,
    name="answer_7_3",
    ask=ask_7_3,
    use=use_7_3,
    book={"cases": ["erased", "padded", "fixed"]},
    text=text_7_3,
    right=nothing_for,
    also_right=(
        lambda q: {case: sorted(parts) for case, parts in nothing_for(q).items()},
        lambda q: {case: ", ".join(parts).upper() for case, parts in nothing_for(q).items()},
    ),
    misconceptions={
        "You wrote down what learns: asked for are the parts that get nothing.": lambda q: {
            case: set(PARTS) - parts for case, parts in nothing_for(q).items()
        },
        "Where page 2 gets another memory: the maps of the reading are used on page 2 as well, "
        "whatever the memory holds.": _of(REPLACED, "read", "slots", "write"),
        "Where page 2 gets another memory: which parts does page 2 use itself? It is encoded and "
        "it reads.": _of(REPLACED, "encoder", "read", "slots", "write"),
        "Where page 2 gets another memory: the initial slots were used on page 1. Does anything "
        "lead from there to the loss?": _of(REPLACED, "write"),
        "Where page 2 gets another memory: what the writer made of page 1 is thrown away.": _of(
            REPLACED, "slots"
        ),
        "Where page 2 gets another memory: page 1 is cut off. Some parts work for page 2 through "
        "page 1 only.": _of(REPLACED),
        "Where page 2 reads what page 1 read: it reads the initial slots themselves.": _of(
            KEPT, "slots", "write"
        ),
        "Where page 2 reads what page 1 read: nothing that the writer made is in that memory.": _of(
            KEPT
        ),
        "Where page 2 reads what page 1 read: you have slots and write the wrong way round. From "
        "which of the two does page 2's memory come?": _of(KEPT, "slots"),
        "Where page 2 reads what page 1 read: encoder and reading work on page 2 as on any "
        "page.": _of(KEPT, "encoder", "read", "write"),
        "Where the memory's past is lost: encoder and reading are used on page 2 again, and learn "
        "there.": _of(FIXED, "encoder", "read", "slots", "write"),
        "Where the memory's past is lost: page 2 reads the right numbers, and they do not lead "
        "back to the initial slots.": _of(FIXED, "write"),
        "Where the memory's past is lost: page 2 reads what the writer made, as mere numbers.": _of(
            FIXED, "slots"
        ),
        "Where the memory's past is lost: the numbers are right and the gradient ends at them. "
        "Which parts lie behind them only?": _of(FIXED),
    },
    tried="All three cases are right.",
)

# 7.4 Count without running


def ask_7_4(draw: Draw) -> list[Question]:
    sizes = [(14, 4, 2), (512, 32, 6), (2, 1, 1), (draw.random.choice((3, 5, 11, 96)), 7, 13)]
    return [{"d": d, "k": k, "layers": layers} for d, k, layers in sizes]


def use_7_4(memory_parameters, question):
    return memory_parameters(question["d"], question["k"], question["layers"])


def memory_parameters(d, k, layers):
    attention = 4 * d**2 + 4 * d
    read = layers * (attention + 2 * d)
    gru = 2 * (3 * d**2 + 3 * d)
    feed_forward = 8 * d**2 + 5 * d + 2 * d
    return read + k * d + attention + gru + feed_forward


def multiplied_out(d, k, layers):
    return (4 * layers + 18) * d**2 + (6 * layers + k + 17) * d


def map_by_map(d, k, layers):
    def linear(a, c):
        return a * c + c

    norm = 2 * d
    attention = linear(d, d) + linear(d, 2 * d) + linear(d, d)
    write = attention + 2 * linear(d, 3 * d) + norm + linear(d, 4 * d) + linear(4 * d, d)
    return sum([norm + attention] * layers) + k * d + write


def _count(more):
    """A count that is off by so much."""
    return lambda d, k, layers: memory_parameters(d, k, layers) + more(d, k, layers)


COUNT_WITHOUT_RUNNING = Exercise(
    id="7.4",
    kind="build",
    points=3,
    minutes=10,
    name="memory_parameters",
    ask=ask_7_4,
    use=use_7_4,
    right=memory_parameters,
    also_right=(multiplied_out, map_by_map),
    misconceptions={
        "All biases are missing: a linear map from a to c numbers has c of them.": _count(
            lambda d, k, layers: -(4 * d * (layers + 1) + 11 * d)
        ),
        "All biases and norms are missing: you count products only.": _count(
            lambda d, k, layers: -(6 * layers + 17) * d
        ),
        "The GRU has two maps, each with a bias: you count one bias.": _count(
            lambda d, k, layers: -3 * d
        ),
        "The GRU has two maps, one for the old memory and one for what is written: you count "
        "one.": _count(lambda d, k, layers: -(3 * d**2 + 3 * d)),
        "A reading has a norm before it, in each layer.": _count(
            lambda d, k, layers: -2 * d * layers
        ),
        "The feed-forward of the write has a norm before it.": _count(lambda d, k, layers: -2 * d),
        "Norms are missing: there is one before each reading, and one before the "
        "feed-forward.": _count(lambda d, k, layers: -2 * d * (layers + 1)),
        "A norm has two numbers for each of the d, a weight and a bias.": _count(
            lambda d, k, layers: -d * (layers + 1)
        ),
        "The attention of the write has no norm before it.": _count(lambda d, k, layers: 2 * d),
        "Reading happens in every encoder layer, each with maps of its own: you count one.": _count(
            lambda d, k, layers: (1 - layers) * (4 * d**2 + 6 * d)
        ),
        "The write happens once, after the last layer, not in every layer.": _count(
            lambda d, k, layers: (layers - 1) * (18 * d**2 + 17 * d)
        ),
        "All slots share one write: its maps do not depend on k.": _count(
            lambda d, k, layers: (k - 1) * (18 * d**2 + 17 * d)
        ),
        "The slots themselves are missing: the memory's initial contents are learned.": _count(
            lambda d, k, layers: -k * d
        ),
        "Slots are counted once a layer: there is one memory for all layers.": _count(
            lambda d, k, layers: (layers - 1) * k * d
        ),
        "An attention needs key and value: the map to both goes from d to 2d.": _count(
            lambda d, k, layers: -(layers + 1) * (d**2 + d)
        ),
        "A feed-forward goes to 4d and back: you count one of its two maps.": _count(
            lambda d, k, layers: -(4 * d**2 + d)
        ),
        "The write has an attention of its own, beside GRU and feed-forward.": _count(
            lambda d, k, layers: -(4 * d**2 + 4 * d)
        ),
        "The feed-forward of the write is missing.": _count(
            lambda d, k, layers: -(8 * d**2 + 7 * d)
        ),
        "Encoder layers have a feed-forward too, with a memory or without: it is not the "
        "memory's.": _count(lambda d, k, layers: layers * (8 * d**2 + 7 * d)),
    },
    tried="Four models, the two of the picture among them.",
    forbids=("Memformer", "MemoryWriter", "Encoder", "Attention", "GRUGate", "SlotAttention"),
    tolerance=1e-12,
)

EXERCISES = (
    ASSEMBLE_ONE_STEP,
    FIND_THE_MERGED,
    WHERE_THE_LOSS_REACHES,
    COUNT_WITHOUT_RUNNING,
)
