"""What is wrong is refused at once, by name: nothing is broadcast, merged or swallowed."""

import pytest
import torch
from helpers import (
    BATCH,
    ENCODER_SIZES,
    NAN,
    SIZES,
    SLOTS,
    SOURCE,
    TARGET,
    length_mask,
    make_model,
    randn,
    refused,
    source_tokens,
    target_tokens,
)

from memformer_lite import (
    Attention,
    Decoder,
    DecoderCache,
    Encoder,
    FeedForward,
    Memformer,
    MemoryWriter,
    RelativePositionBias,
    SlotAttention,
    TransformerWrapper,
    relative_position_bucket,
    sample_token,
    top_k,
    top_p,
)

DIM = SIZES["dim"]


# Options. Each names the argument, its value, and what was expected.


WRONG_OPTIONS = {  # one wrong value each: for the ranges see test_validation.py
    **dict.fromkeys(SIZES, 0),
    "num_mem_updates": 0,
    "mem_update": "lstm",
    "position_buckets": "T5",
    "mem_temperature": 0.0,
    "dropout": 1.0,
    "encoder_only": 1,
    "mem_feed_forward": None,
}


@pytest.mark.parametrize(("name", "value"), WRONG_OPTIONS.items())
def test_model_refuses_an_option_by_the_name_the_caller_used(name, value):
    kind = ValueError if name not in ("encoder_only", "mem_feed_forward") else TypeError
    shown = value if isinstance(value, str) else repr(value)
    refused(kind, lambda: Memformer(**{**SIZES, name: value}), name, shown, "expected")


@pytest.mark.parametrize("name", ["mem_update_attn_heads", "enc_heads", "dec_heads"])
def test_heads_must_divide_the_width(name):
    refused(ValueError, lambda: Memformer(**{**SIZES, name: 7}), name, 7, 30, "expected")


@pytest.mark.parametrize(
    "name", ["dropout_rate", "enc_detph", "enc_dim", "dec_dim", "mems", "heads"]
)
def test_model_refuses_an_unknown_option(name):
    refused(TypeError, lambda: Memformer(**SIZES, **{name: 1}), name)


@pytest.mark.parametrize("name", [n for n in ENCODER_SIZES if "heads" not in n])
def test_model_refuses_to_guess_a_missing_option(name):
    refused(TypeError, lambda: Memformer(**{k: v for k, v in SIZES.items() if k != name}), name)


@pytest.mark.parametrize("name", ["dec_num_tokens", "dec_max_seq_len", "dec_depth"])
def test_model_names_a_missing_decoder_option(name):
    sizes = {k: v for k, v in SIZES.items() if k != name}
    refused(TypeError, lambda: Memformer(**sizes), name, "expected")


def test_model_takes_no_positional_options():
    refused(TypeError, lambda: Memformer(30, 7))


BUILDERS = {
    "bias": lambda **o: RelativePositionBias(**{"heads": 3, "bidirectional": True, **o}),
    "bucket": lambda **o: relative_position_bucket(torch.arange(3), **{"bidirectional": True, **o}),
    "feed_forward": lambda **o: FeedForward(**{"dim": 6, **o}),
    "attention": lambda **o: Attention(**{"dim": 6, "heads": 3, **o}),
    "encoder": lambda **o: Encoder(**{"dim": 6, "depth": 1, "heads": 3, **o}),
    "decoder": lambda **o: Decoder(**{"dim": 6, "depth": 1, "heads": 3, **o}),
    "slots": lambda **o: SlotAttention(**{"dim": 6, "heads": 3, **o}),
    "writer": lambda **o: MemoryWriter(**{"dim": 6, "heads": 3, **o}),
    "wrapper": lambda **o: TransformerWrapper(
        **{"num_tokens": 5, "max_seq_len": 7, "dim": 6, "layer_blocks": Encoder(6, 1, heads=3), **o}
    ),
    "cache": lambda **o: DecoderCache(**o),
}
WRONG_OPTIONS_OF_PIECES = {
    "bias": {"heads": 0, "num_buckets": 0, "max_distance": 0, "bidirectional": 1},
    "bucket": {"num_buckets": 0, "max_distance": 0, "bidirectional": 1},
    "feed_forward": {"dim": 0, "mult": 0, "dropout": 1.0},
    "attention": {"dim": 7, "heads": 4, "dropout": 1.0, "causal": 1},
    "encoder": {"dim": 7, "heads": 4, "depth": 0, "dropout": 1.0, "bidirectional_buckets": 1},
    "decoder": {"dim": 7, "heads": 4, "depth": 0, "dropout": 1.0, "bidirectional_buckets": 1},
    "slots": {"dim": 7, "heads": 4, "temperature": 0.0, "raw_self": 1},
    "writer": {
        **{"dim": 7, "heads": 4, "temperature": 0.0, "num_updates": 0},
        **{"update": "lstm", "feed_forward": 1},
    },
    "wrapper": {"num_tokens": 0, "max_seq_len": 0, "return_logits": 1},
    "cache": {"max_length": 0},
}
CASES = [
    (p, name, value)
    for p, wrong in WRONG_OPTIONS_OF_PIECES.items()
    for name, value in wrong.items()
]
FLAGS = {
    "bidirectional",
    "causal",
    "bidirectional_buckets",
    "raw_self",
    "feed_forward",
    "return_logits",
}


@pytest.mark.parametrize(("piece", "name", "value"), CASES)
def test_piece_refuses_an_option(piece, name, value):
    kind = TypeError if name in FLAGS else ValueError
    refused(kind, lambda: BUILDERS[piece](**{name: value}), name, "expected")


@pytest.mark.parametrize("piece", [p for p in BUILDERS if p != "cache"])
def test_piece_works_as_built_here_and_refuses_an_unknown_option(piece):
    BUILDERS[piece]()
    refused(TypeError, lambda: BUILDERS[piece](unknown=1), "unknown")


def test_direction_of_buckets_must_be_chosen():
    refused(TypeError, lambda: RelativePositionBias(heads=3), "bidirectional")
    refused(TypeError, lambda: relative_position_bucket(torch.arange(3)), "bidirectional")


@pytest.mark.parametrize(
    ("bidirectional", "num_buckets", "max_distance", "name"),
    [
        (True, 2, 128, "num_buckets"),  # no exact range: the published function divides by zero
        (True, 3, 128, "num_buckets"),
        (True, 33, 128, "num_buckets"),  # one bucket would never be used
        (False, 1, 128, "num_buckets"),
        (True, 32, 8, "max_distance"),  # no logarithmic range
        (True, 32, 7, "max_distance"),
        (False, 32, 16, "max_distance"),
        (False, 2, 1, "max_distance"),
    ],
)
def test_buckets_that_cannot_work_are_refused(bidirectional, num_buckets, max_distance, name):
    options = {
        "bidirectional": bidirectional,
        "num_buckets": num_buckets,
        "max_distance": max_distance,
    }
    value = options[name]
    refused(ValueError, lambda: relative_position_bucket(torch.arange(3), **options), name, value)
    refused(ValueError, lambda: RelativePositionBias(heads=3, **options), name, value)


@pytest.mark.parametrize(
    ("bidirectional", "num_buckets", "max_distance"),
    [(True, 4, 2), (True, 32, 9), (False, 2, 2), (False, 3, 2), (False, 32, 17)],
)
def test_buckets_at_the_limit_of_what_works(bidirectional, num_buckets, max_distance):
    buckets = relative_position_bucket(
        torch.arange(-40, 41),
        bidirectional=bidirectional,
        num_buckets=num_buckets,
        max_distance=max_distance,
    )
    assert buckets.min() == 0 and buckets.max() == num_buckets - 1


@pytest.mark.parametrize("offsets", [torch.zeros(3), torch.zeros(3).bool(), [1, 2]])
def test_offsets_must_be_an_integer_tensor(offsets):
    for flag in (True, False):
        refused(
            TypeError,
            lambda flag=flag: relative_position_bucket(offsets, bidirectional=flag),
            "relative_position",
            "expected",
        )


@pytest.mark.parametrize(("name", "value"), [("q_len", 0), ("k_len", 0), ("q_start", -1)])
def test_bias_refuses_lengths_that_are_none(name, value):
    bias = RelativePositionBias(heads=3, bidirectional=True)
    refused(ValueError, lambda: bias(**{"q_len": 2, "k_len": 3, "q_start": 0, name: value}), name)


# Tensors given to the pieces


def attention_case(**changes):
    module = Attention(6, heads=3, causal=changes.pop("causal", False))
    return lambda: module(**{"x": randn(2, 3, 6, dtype=torch.float32), **changes})


F32 = torch.float32
CONTEXT = randn(2, 5, 6, dtype=F32)
YES = {
    shape: torch.ones(*shape, dtype=torch.bool)
    for shape in [
        (2, 3),
        (2, 5),
        (1, 5),
        (3, 5),
        (2, 3, 5),
        (1, 3, 5),
        (2, 1, 5),
        (3, 5, 2),
        (2, 3, 3),
        (1, 3),
        (2, 8),
        (5,),
        (2, 2, 3, 5),
    ]
}


@pytest.mark.parametrize(
    ("name", "kind", "case"),
    [
        ("x", ValueError, {"x": randn(3, 6, dtype=F32)}),
        ("x", ValueError, {"x": randn(2, 3, 7, dtype=F32)}),
        ("context", ValueError, {"context": randn(1, 5, 6, dtype=F32)}),
        ("context", ValueError, {"context": randn(2, 5, 7, dtype=F32)}),
        ("context", ValueError, {"context": randn(5, 6, dtype=F32)}),
        ("context", ValueError, {"context": CONTEXT, "causal": True}),
        ("context", ValueError, {"attend_self": True}),
        ("context", ValueError, {"context": CONTEXT, "attend_self": True, "causal": True}),
        ("mask", ValueError, {"mask": YES[2, 3, 5]}),
        ("mask", ValueError, {"context": CONTEXT, "mask": YES[1, 3, 5]}),
        ("mask", ValueError, {"context": CONTEXT, "mask": YES[2, 1, 5]}),
        ("mask", ValueError, {"context": CONTEXT, "mask": YES[3, 5]}),
        ("mask", ValueError, {"context": CONTEXT, "mask": YES[2, 3, 3]}),
        ("mask", ValueError, {"context": CONTEXT, "mask": YES[2, 3, 5], "attend_self": True}),
        ("query_mask", ValueError, {"query_mask": YES[2, 5]}),
        ("query_mask", ValueError, {"query_mask": YES[1, 3]}),
        ("kv_mask", ValueError, {"kv_mask": YES[2, 5]}),
        ("kv_mask", ValueError, {"context": CONTEXT, "kv_mask": YES[2, 3]}),
        ("kv_mask", ValueError, {"context": CONTEXT, "kv_mask": YES[1, 5]}),
        ("pos_bias", ValueError, {"pos_bias": randn(1, 3, 3, 5, dtype=F32)}),
        ("pos_bias", ValueError, {"pos_bias": randn(1, 2, 3, 3, dtype=F32)}),
        ("pos_bias", ValueError, {"pos_bias": randn(3, 3, 3, 3, dtype=F32)}),
        ("pos_bias", ValueError, {"pos_bias": randn(3, 3, 3, dtype=F32)}),
        ("pos_bias", ValueError, {"pos_bias": randn(1, 3, 1, 3, dtype=F32)}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else str(value),
)
def test_attention_refuses_tensors_that_do_not_fit(name, kind, case):
    refused(kind, attention_case(**case), name, "expected")


@pytest.mark.parametrize("learned", [False, True])
def test_pieces_refuse_another_precision(learned):
    """float64 for a float32 module: torch alone would complain about a matrix inside."""
    x, context, mems = randn(2, 3, 6), randn(2, 5, 6), randn(2, 4, 6)
    attention = Attention(6, heads=3)
    refused(TypeError, lambda: attention(x), "x", "expected")
    refused(TypeError, lambda: attention(x.float(), context=context), "context", "expected")
    bias = randn(1, 3, 3, 3).requires_grad_(learned)
    refused(TypeError, lambda: attention(x.float(), pos_bias=bias), "pos_bias", "expected")
    for cls in (Encoder, Decoder):
        blocks = cls(6, 1, heads=3)
        refused(TypeError, lambda blocks=blocks: blocks(x), "x", "expected")
        refused(
            TypeError,
            lambda blocks=blocks: blocks(x.float(), context=context),
            "context",
            "expected",
        )
    for module in (MemoryWriter(6, heads=3), SlotAttention(6, heads=3)):
        refused(TypeError, lambda m=module: m(mems, context.float()), "mems", "expected")
        refused(TypeError, lambda m=module: m(mems.float(), context), "enc_out", "expected")
    writer = MemoryWriter(6, heads=3, update="bmn")
    bias = randn(4, 6).requires_grad_(learned)
    refused(
        TypeError,
        lambda: writer(mems.float(), context.float(), slots=bias),
        "slots",
        "expected",
    )


def blocks_case(cls, **changes):
    module = cls(6, 1, heads=3)
    return lambda: module(**{"x": randn(2, 3, 6, dtype=F32), "context": CONTEXT, **changes})


@pytest.mark.parametrize(
    ("cls", "name", "kind", "value"),
    [
        *[
            (cls, *case)
            for cls in (Encoder, Decoder)
            for case in [
                ("x", ValueError, randn(3, 6, dtype=F32)),
                ("x", ValueError, randn(2, 3, 7, dtype=F32)),
                ("context", ValueError, randn(1, 5, 6, dtype=F32)),
                ("context", ValueError, randn(2, 5, 7, dtype=F32)),
            ]
        ],
        (Encoder, "src_mask", ValueError, YES[2, 5]),
        (Encoder, "src_mask", ValueError, YES[1, 3]),
        (Decoder, "tgt_mask", ValueError, YES[2, 5]),
        (Decoder, "tgt_mask", ValueError, YES[1, 3]),
        (Decoder, "src_mask", ValueError, YES[2, 3]),
        (Decoder, "src_mask", ValueError, YES[1, 5]),
    ],
    ids=lambda value: (
        getattr(value, "__name__", None)
        or (str(tuple(value.shape)) if isinstance(value, torch.Tensor) else str(value))
    ),
)
def test_encoder_and_decoder_name_their_own_arguments(cls, name, kind, value):
    refused(kind, blocks_case(cls, **{name: value}), name, "expected")


def test_decoder_refuses_masks_without_what_they_mask():
    decoder, x = Decoder(6, 1, heads=3), randn(2, 3, 6, dtype=F32)
    refused(ValueError, lambda: decoder(x, src_mask=YES[2, 5]), "src_mask", "expected")
    refused(
        ValueError,
        lambda: decoder(x, tgt_mask=YES[2, 3], cache=DecoderCache(9)),
        "tgt_mask",
        "expected",
    )


@pytest.mark.parametrize("steps", [[3, 1], [1, 1, 1, 1], [4], [2, 2]], ids=str)
def test_a_full_cache_is_refused(steps):
    decoder, cache = Decoder(6, 1, heads=3), DecoderCache(3)
    for n in steps[:-1]:
        decoder(randn(2, n, 6, dtype=F32), cache=cache)
    last = randn(2, steps[-1], 6, dtype=F32)
    refused(ValueError, lambda: decoder(last, cache=cache), "cache", "expected", 3, 4)


@pytest.mark.parametrize("cls", [MemoryWriter, SlotAttention])
@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("mems", ValueError, randn(4, 6, dtype=F32)),
        ("mems", ValueError, randn(2, 4, 7, dtype=F32)),
        ("mems", TypeError, None),
        ("enc_out", ValueError, randn(1, 5, 6, dtype=F32)),  # would merge two documents
        ("enc_out", ValueError, randn(3, 5, 6, dtype=F32)),
        ("enc_out", ValueError, randn(2, 5, 7, dtype=F32)),
        ("src_mask", ValueError, YES[2, 3]),
        ("src_mask", ValueError, YES[1, 5]),
    ],
    ids=lambda value: str(tuple(value.shape)) if isinstance(value, torch.Tensor) else str(value),
)
def test_writer_refuses_tensors_that_do_not_fit(cls, name, kind, value):
    module = cls(6, heads=3)
    given = {"mems": randn(2, 4, 6, dtype=F32), "enc_out": CONTEXT, "src_mask": None}
    module(**given)
    if name == "mems" and isinstance(value, torch.Tensor) and value.shape[0] == 1:
        pytest.fail("a case that tests nothing")
    refused(kind, lambda: module(**{**given, name: value}), name, "expected")


@pytest.mark.parametrize(
    ("update", "kind", "value"),
    [
        ("gru", ValueError, randn(3, 6, dtype=F32)),
        ("bmn", ValueError, randn(6, dtype=F32)),
        ("bmn", ValueError, randn(1, 6, dtype=F32)),
        ("bmn", ValueError, randn(4, 7, dtype=F32)),
        ("bmn", ValueError, randn(2, 4, 6, dtype=F32)),
        ("bmn", TypeError, torch.zeros(4, 6).long()),
    ],
)
def test_writer_refuses_slots_that_do_not_fit(update, kind, value):
    writer, mems = MemoryWriter(6, heads=3, update=update), randn(2, 4, 6, dtype=F32)
    refused(kind, lambda: writer(mems, CONTEXT, slots=value), "slots", "expected")


@pytest.mark.parametrize(
    ("kind", "mems"),
    [
        (TypeError, None),
        (TypeError, [[1.0]]),
        (ValueError, randn(4, 6, dtype=F32)),
        (ValueError, randn(2, 4, 7, dtype=F32)),
    ],
)
def test_writer_blames_the_memory_and_not_the_slots(kind, mems):
    writer, bias = MemoryWriter(6, heads=3, update="bmn"), randn(4, 6, dtype=F32)
    refused(kind, lambda: writer(mems, CONTEXT, slots=bias), "mems", "expected")


def test_wrapper_refuses_tokens_and_unknown_inputs():
    wrapper = BUILDERS["wrapper"]()
    tokens = torch.zeros(2, 3, dtype=torch.long)
    refused(ValueError, lambda: wrapper(tokens[0]), "tokens", "expected")
    refused(ValueError, lambda: wrapper(tokens + 5), "tokens", "expected", 5)
    refused(ValueError, lambda: wrapper(torch.zeros(2, 8).long()), "tokens", "expected", 7, 8)
    refused(TypeError, lambda: wrapper(tokens.float()), "tokens", "expected")
    refused(TypeError, lambda: wrapper(tokens, memory=CONTEXT), "memory")


# Tensors given to the model

# One row would be broadcast over the others; for the rest see test_validation.py.
TOKENS = [
    ("is float", TypeError, lambda t: t.float()),
    ("has no tokens", ValueError, lambda t: t[:, :0]),
    ("has an id beyond the end", ValueError, lambda t: torch.cat((t[:, :1] * 0 + 29, t[:, 1:]), 1)),
]
MASKS = [
    ("has one row only", ValueError, lambda m: m[:1]),
    ("is too short", ValueError, lambda m: m[:, :-1]),
]
FEATURES = [
    ("is float32", TypeError, lambda x: x.float()),
    ("has one row only", ValueError, lambda x: x[:1]),
    ("is too narrow", ValueError, lambda x: x[..., :-1]),
]
NAMES = {"ids": lambda value: value if isinstance(value, str) else ""}


def model_inputs():
    return {
        "src": source_tokens(),
        "tgt": target_tokens(),
        "mems": randn(BATCH, SLOTS, DIM),
        "src_mask": length_mask([SOURCE, 4, 1], SOURCE),
        "tgt_mask": length_mask([TARGET, 4, 2], TARGET),
    }


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.mark.parametrize("name", ["src", "tgt"])
@pytest.mark.parametrize(("what", "kind", "change"), TOKENS, **NAMES)
def test_model_refuses_tokens(model, name, what, kind, change):
    given = model_inputs()
    refused(kind, lambda: model(**{**given, name: change(given[name])}), name, "expected")


@pytest.mark.parametrize("name", ["src_mask", "tgt_mask"])
@pytest.mark.parametrize(("what", "kind", "change"), MASKS, **NAMES)
def test_model_refuses_masks(model, name, what, kind, change):
    given = model_inputs()
    refused(kind, lambda: model(**{**given, name: change(given[name])}), name, "expected")


@pytest.mark.parametrize(
    ("what", "kind", "change"),
    [
        *FEATURES,
        ("has a slot too few", ValueError, lambda x: x[:, :-1]),
        ("has one slot", ValueError, lambda x: x[:, :1]),
    ],
    **NAMES,
)
def test_model_refuses_memories(model, what, kind, change):
    given = model_inputs()
    refused(kind, lambda: model(**{**given, "mems": change(given["mems"])}), "mems", "expected")


def test_two_documents_are_never_merged(model):
    """A memory of two rows with a source of one: broadcasting would mix two documents."""
    for src_rows, mem_rows in ((1, 2), (2, 1)):
        src, mems = source_tokens(src_rows), randn(mem_rows, SLOTS, DIM)
        refused(ValueError, lambda src=src, mems=mems: model(src, mems=mems), "mems", "expected")
    for src_rows, tgt_rows in ((1, 2), (2, 1), (3, 2)):
        src, tgt = source_tokens(src_rows), target_tokens(tgt_rows)
        refused(ValueError, lambda src=src, tgt=tgt: model(src, tgt), "tgt", "expected", tgt_rows)


def test_longest_source_and_target_are_enforced(model):
    too_long = source_tokens(length=SIZES["enc_max_seq_len"] + 1)
    refused(ValueError, lambda: model(too_long), "src", "expected", 13, 14)
    too_long = target_tokens(length=SIZES["dec_max_seq_len"] + 1)
    refused(ValueError, lambda: model(source_tokens(), too_long), "tgt", "expected", 19, 20)
    enc_out = model(source_tokens()).enc_out
    refused(ValueError, lambda: model.logits(too_long, enc_out), "tgt", "expected", 19, 20)


def test_a_target_of_one_token_has_nothing_to_guess(model):
    one = target_tokens(length=1)
    refused(ValueError, lambda: model(source_tokens(), one), "tgt", "expected", 2, 1)


@pytest.mark.parametrize(("wrong", "named"), [(23, 23), (10**9, 10**9), (-1, -1), (-100, -100)])
def test_source_ids_are_named_with_their_range(model, wrong, named):
    src = source_tokens()
    src[1, 3] = wrong
    refused(ValueError, lambda: model(src), "src", str(named).lstrip("-"), 0, 22)


@pytest.mark.parametrize(("wrong", "named"), [(29, 29), (-1, -1), (-100, -100)])
def test_target_ids_are_named_with_their_range(model, wrong, named):
    tgt = target_tokens()
    tgt[2, -1] = wrong  # the last token is only ever guessed, never embedded
    refused(ValueError, lambda: model(source_tokens(), tgt), "tgt", str(named).lstrip("-"), 0, 28)
    enc_out = model(source_tokens()).enc_out
    refused(ValueError, lambda: model.logits(tgt, enc_out), "tgt", str(named).lstrip("-"), 0, 28)


def test_a_target_mask_needs_a_target(model):
    mask = length_mask([TARGET] * BATCH, TARGET)
    refused(ValueError, lambda: model(source_tokens(), tgt_mask=mask), "tgt_mask", "expected")


@pytest.mark.parametrize("name", ["memory", "enc_mask", "return_loss"])
def test_model_refuses_unknown_inputs(model, name):
    refused(TypeError, lambda: model(source_tokens(), **{name: None}), name)


def test_initial_memory_needs_a_batch_size(model):
    refused(ValueError, lambda: model.get_initial_mem(0), "batch_size", "expected")


@pytest.mark.parametrize(("what", "kind", "change"), FEATURES, **NAMES)
def test_logits_and_generate_refuse_encoder_outputs(model, what, kind, change):
    enc_out, tgt = model(source_tokens()).enc_out.detach(), target_tokens()
    refused(kind, lambda: model.logits(tgt, change(enc_out)), "enc_out", "expected")
    refused(kind, lambda: model.generate(tgt, 3, context=change(enc_out)), "context", "expected")


@pytest.mark.parametrize(("what", "kind", "change"), MASKS, **NAMES)
def test_logits_and_generate_refuse_masks(model, what, kind, change):
    given = model_inputs()
    src_mask, tgt_mask = given.pop("src_mask"), given.pop("tgt_mask")
    enc_out, tgt = model(source_tokens()).enc_out.detach(), given["tgt"]
    refused(kind, lambda: model.logits(tgt, enc_out, src_mask=change(src_mask)), "src_mask")
    refused(kind, lambda: model.logits(tgt, enc_out, tgt_mask=change(tgt_mask)), "tgt_mask")
    refused(
        kind,
        lambda: model.generate(tgt, 3, context=enc_out, context_mask=change(src_mask)),
        "context_mask",
        "expected",
    )


@pytest.mark.parametrize(("what", "kind", "change"), TOKENS, **NAMES)
def test_logits_and_generate_refuse_tokens(model, what, kind, change):
    enc_out = model(source_tokens()).enc_out.detach()
    start = change(target_tokens())
    refused(kind, lambda: model.logits(start, enc_out), "tgt", "expected")
    refused(kind, lambda: model.generate(start, 3, context=enc_out), "start_tokens", "expected")


GENERATE_OPTIONS = [
    ("seq_len", 0, ValueError),
    *[(name, value, ValueError) for name in ("eos_token", "pad_token") for value in (-1, 29)],
    ("pad_token", None, TypeError),
    ("temperature", -1.0, ValueError),
    *[("top_k", value, ValueError) for value in (0, 30)],
    *[("top_p", value, ValueError) for value in (0.0, 1.1, NAN)],
    ("use_cache", None, TypeError),
]


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize(("name", "value", "kind"), GENERATE_OPTIONS, ids=str)
def test_generate_refuses_options(model, name, value, kind, greedy):
    """In the greedy case as well, where the option would not be needed."""
    enc_out = model(source_tokens()).enc_out.detach()
    options = {"seq_len": 3, **({"temperature": 0} if greedy else {}), name: value}
    before = torch.get_rng_state()
    refused(kind, lambda: model.generate(target_tokens(length=2), context=enc_out, **options), name)
    assert torch.equal(torch.get_rng_state(), before), "something was drawn before the error"


def test_generate_refuses_a_seed_as_generator(model):
    enc_out, start = model(source_tokens()).enc_out.detach(), target_tokens(length=2)
    refused(TypeError, lambda: model.generate(start, 3, context=enc_out, generator=0), "generator")


def test_generate_needs_its_context_and_knows_its_options(model):
    start, enc_out = target_tokens(length=2), model(source_tokens()).enc_out.detach()
    refused(TypeError, lambda: model.generate(start, 3), "context")
    refused(TypeError, lambda: model.generate(start, 3, enc_out))
    refused(TypeError, lambda: model.generate(start, 3, context=enc_out, top=3), "top")
    refused(
        TypeError,
        lambda: model.generate(start, 3, context=enc_out, filter_thres=0.9),
        "filter_thres",
    )


def test_decoder_alone_refuses_a_mask_without_a_context(model):
    start, mask = target_tokens(length=2), length_mask([3, 3, 3], 5)
    refused(
        ValueError,
        lambda: model.decoder.generate(start, 3, context_mask=mask),
        "context_mask",
        "expected",
    )


def test_encoder_only_model_refuses_what_needs_a_decoder():
    half = make_model(encoder_only=True)
    enc_out, tgt = half(source_tokens()).enc_out, target_tokens()
    refused(ValueError, lambda: half(source_tokens(), tgt), "tgt", "encoder_only=True")
    refused(ValueError, lambda: half.logits(tgt, enc_out), "logits", "encoder_only=True")
    refused(
        ValueError,
        lambda: half.generate(tgt, 3, context=enc_out),
        "generate",
        "encoder_only=True",
    )
    mask = length_mask([TARGET] * BATCH, TARGET)
    refused(ValueError, lambda: half(source_tokens(), tgt_mask=mask), "tgt_mask")


# Cutting and sampling


def test_cutting_names_what_is_wrong():
    logits = randn(3, 11)
    for value, kind in ((0, ValueError), (12, ValueError), (2.0, TypeError), (None, TypeError)):
        refused(kind, lambda value=value: top_k(logits, value), "top_k", "expected")
    for value, kind in (
        (0.0, ValueError),
        (1.01, ValueError),
        (NAN, ValueError),
        (None, TypeError),
    ):
        refused(kind, lambda value=value: top_p(logits, value), "top_p", "expected")


@pytest.mark.parametrize(
    "cut",
    [lambda x: top_k(x, 2), lambda x: top_p(x, 0.5), sample_token],
    ids=["top_k", "top_p", "sample_token"],
)
@pytest.mark.parametrize(
    ("kind", "logits"),
    [
        (ValueError, torch.zeros(11)),
        (ValueError, torch.zeros(2, 3, 11)),
    ],
    ids=["one row", "3 dimensions"],
)
def test_cutting_and_sampling_refuse_logits_that_do_not_fit(cut, kind, logits):
    refused(kind, lambda: cut(logits), "logits", "expected")


# A failed call leaves everything as it was


def test_an_error_leaves_the_model_as_it_was():
    model = make_model(dropout=0.1).train()
    enc_out = model(source_tokens()).enc_out.detach()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for wrong in (
        lambda: model(source_tokens() + 100),
        lambda: model.generate(target_tokens(), 3, context=enc_out, top_p=2.0),
        lambda: model.generate(target_tokens(), 3, context=enc_out, top_k=99),
        lambda: model.generate(target_tokens(), 3, context=enc_out, temperature=-1.0),
    ):
        refused(ValueError, wrong)
        assert all(module.training for module in model.modules()), "the training mode changed"
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
