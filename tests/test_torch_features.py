"""What users of PyTorch expect of a module: copies, files, mixed precision, compile, export."""

import copy
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import (
    BATCH,
    SIZES,
    SLOTS,
    SOURCE,
    TARGET,
    assert_close,
    assert_finite_gradients,
    length_mask,
    make_model,
    randn,
    source_tokens,
    target_tokens,
)
from torch.nn.attention import SDPBackend, sdpa_kernel

from memformer_lite import Memformer, Results

KINDS = [
    {},
    {"mem_update": "bmn", "num_mem_updates": 2},
    {"encoder_only": True},
    {"mem_feed_forward": False, "position_buckets": "reference"},
]
ROOT = Path(__file__).resolve().parents[1]
MASK = length_mask([SOURCE, 4, 1], SOURCE)


def run(model) -> Results:
    """One segment with masks, a memory, and a target where there is a decoder."""
    target = {}
    if model.decoder is not None:
        target = {"tgt": target_tokens(), "tgt_mask": length_mask([TARGET, 4, 2], TARGET)}
    dtype = model.memory_slots.dtype
    return model(
        source_tokens(),
        mems=randn(BATCH, SLOTS, SIZES["dim"], dtype=dtype),
        src_mask=length_mask([SOURCE, 4, 0], SOURCE),
        **target,
    )


def assert_same(first: Results, second: Results, what: str) -> None:
    for name, a, b in zip(Results._fields, first, second, strict=True):
        if a is None or b is None:
            assert a is b, f"{what}: {name}"
        else:
            assert torch.equal(a, b), f"{what}: {name} differs"


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_a_file(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle, through_a_file])
def test_a_copy_gives_the_same_numbers_and_lives_its_own_life(options, copied):
    model = make_model(**options)
    run(model).mem.sum().backward()  # a copy must work after training as well
    other = copied(model)
    expected = run(model)
    assert_same(run(other), expected, "copy")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    assert_same(run(model), expected, "the model, after its copy was changed")


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_state_dict_carries_everything(options):
    model, other = make_model(0, **options), make_model(1, **options)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)  # plain tensors only
    assert set(state) == {name for name, _ in model.named_parameters()}, "weights, nothing else"
    other.load_state_dict(state, strict=True)
    assert_same(run(other), run(model), "state_dict")


def test_results_survive_a_file():
    """The memory is plain state: a reader can stop today and go on tomorrow."""
    model = make_model()
    out = run(model)
    again = pickle.loads(pickle.dumps(Results(*(x.detach() for x in out))))
    assert isinstance(again, Results)
    assert_same(model(source_tokens(), mems=again.mem), model(source_tokens(), mems=out.mem), "mem")


def single_precision(**options) -> Memformer:
    return make_model(**options).float()


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_float32_is_close_to_float64(options):
    exact, single = run(make_model(**options)), run(single_precision(**options))
    for name, a, b in zip(Results._fields, exact, single, strict=True):
        if a is not None:
            assert b.dtype == torch.float32
            assert_close(b.double(), a, name, 1e-4)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_bfloat16_autocast_trains_and_carries_the_memory(options):
    model, mems = single_precision(**options).train(), None
    expected = single_precision(**options).eval()
    expected_mems = None
    for segment in range(3):
        src = source_tokens(seed=segment)
        mask = None if segment == 1 else length_mask([SOURCE, 4, 0], SOURCE)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            target = {} if model.decoder is None else {"tgt": target_tokens(seed=segment)}
            out = model(src, mems=mems, src_mask=mask, **target)
        before = mems
        assert out.mem.dtype == torch.float32, "the memory is kept in its own dtype"
        assert all(torch.isfinite(x).all() for x in out if x is not None)
        mems = out.mem
        with torch.no_grad():
            expected_mems = expected(src, mems=expected_mems, src_mask=mask).mem
        real = slice(None) if mask is None else mask.any(-1)
        error = (mems - expected_mems)[real].norm() / expected_mems[real].norm()
        assert error < 0.05, f"segment {segment}: memory off by {error:.3f} in relative terms"
        if mask is not None:
            kept = model.get_initial_mem(BATCH)[2] if before is None else before[2]
            assert torch.equal(mems[2], kept), "an empty row lost digits of its memory"
    loss = mems.float().square().mean()
    (loss if out.dec_out is None else loss + out.dec_out.float()).backward()
    assert_finite_gradients(model, "autocast")
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


def test_autocast_generates():
    model = single_precision()
    enc_out = model(source_tokens()).enc_out.detach()
    start = target_tokens(length=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for use_cache in (True, False):
            tokens = model.generate(start, 23, context=enc_out, use_cache=use_cache)
            assert ((tokens >= 0) & (tokens < SIZES["dec_num_tokens"])).all()


@pytest.mark.parametrize("update", ["gru", "bmn"])
def test_autocast_takes_states_of_either_precision(update):
    """Under autocast a state may have been made in bfloat16: that is no mistake there."""
    model = single_precision(mem_update=update)
    enc_out = model(source_tokens()).enc_out.detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for context in (enc_out, enc_out.bfloat16()):
            assert torch.isfinite(model.logits(target_tokens(), context)).all()
            mems = model.get_initial_mem(BATCH)
            assert model.memory_writer(mems, context).dtype == torch.float32
            model.generate(target_tokens(length=2), 3, context=context)
    with pytest.raises(TypeError, match="enc_out"):
        model.logits(target_tokens(), enc_out.bfloat16())


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_whole_model_in_bfloat16(options):
    model = make_model(**options).bfloat16()
    out = run(model)
    for name, value in zip(Results._fields, out, strict=True):
        if value is not None:
            assert value.dtype == torch.bfloat16, f"{name} is {value.dtype}"
            assert torch.isfinite(value).all(), f"{name} has nan or inf in it"


@pytest.mark.parametrize("options", [{}, {"mem_update": "bmn"}], ids=str)
def test_compiles_as_one_graph(options):
    model = single_precision(enc_depth=1, dec_depth=1, **options)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    mems = mask = None
    for segment in range(2):  # the second time with a memory and a mask
        src = source_tokens(seed=segment)
        expected, got = (m(src, mems=mems, src_mask=mask) for m in (model, compiled))
        assert_close(got.enc_out, expected.enc_out, "compiled enc_out", 1e-6)
        assert_close(got.mem, expected.mem, "compiled memory", 1e-6)
        assert got.dec_out is None
        mems, mask = expected.mem.detach(), length_mask([SOURCE, 4, 0], SOURCE)


class Segment(torch.nn.Module):
    """One segment as plain tensors in and out, as an exported program has them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, src, mems, src_mask):
        out = self.model(src, mems=mems, src_mask=src_mask)
        return out.enc_out, out.mem


@pytest.mark.parametrize("options", [{}, {"mem_update": "bmn"}], ids=str)
def test_exports_and_runs_again_from_a_file(options):
    model = single_precision(enc_depth=1, dec_depth=1, **options)
    mems = model.get_initial_mem(BATCH).detach()
    mask = length_mask([SOURCE, 4, 0], SOURCE)
    program = torch.export.export(Segment(model), (source_tokens(), mems, mask))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    loaded = torch.export.load(buffer).module()
    other = source_tokens(seed=5), randn(BATCH, SLOTS, SIZES["dim"], dtype=torch.float32)
    mask = length_mask([3, 0, SOURCE], SOURCE)
    expected = model(other[0], mems=other[1], src_mask=mask)
    for name, got, want in zip(("enc_out", "mem"), loaded(*other, mask), expected, strict=False):
        assert_close(got, want, f"exported {name}", 1e-6)


@pytest.mark.parametrize("update", ["gru", "bmn"])
def test_an_exported_program_takes_segments_and_batches_of_any_size(update):
    model = make_model(encoder_only=True, mem_update=update, enc_depth=1)
    rows = torch.export.Dim("rows", min=2, max=64)
    tokens = torch.export.Dim("tokens", min=2, max=SIZES["enc_max_seq_len"])
    sizes = {"src": {0: rows, 1: tokens}, "mems": {0: rows}, "src_mask": {0: rows, 1: tokens}}
    mems = randn(BATCH, SLOTS, SIZES["dim"])
    given = (source_tokens(), mems, length_mask([SOURCE, 4, 1], SOURCE))
    program = torch.export.export(Segment(model), given, dynamic_shapes=sizes).module()
    for b, n in ((2, 5), (7, 13), (3, 2)):
        src, mems = source_tokens(b, n), randn(b, SLOTS, SIZES["dim"])
        mask = length_mask([n, *[1] * (b - 1)], n)
        expected = model(src, mems=mems, src_mask=mask)
        for got, want in zip(program(src, mems, mask), expected, strict=False):
            assert_close(got, want, f"exported, {b} rows of {n} tokens", 1e-12)


def test_an_exported_model_takes_sources_and_targets_of_any_length():
    model = make_model(enc_depth=1, dec_depth=1)
    n = torch.export.Dim("n", min=2, max=SIZES["enc_max_seq_len"])
    m = torch.export.Dim("m", min=3, max=SIZES["dec_max_seq_len"])
    sizes = {"src": {1: n}, "tgt": {1: m}}
    given = (source_tokens(), target_tokens())
    program = torch.export.export(model, given, dynamic_shapes=sizes).module()
    for source, target in ((5, 4), (13, 19)):
        given = (source_tokens(length=source), target_tokens(length=target))
        assert_close(program(*given).dec_out, model(*given).dec_out, "exported loss", 1e-12)


def test_exports_the_whole_model_with_a_target():
    model = single_precision(enc_depth=1, dec_depth=1)
    program = torch.export.export(model, (source_tokens(), target_tokens()))
    got = program.module()(source_tokens(seed=3), target_tokens(seed=3))
    expected = model(source_tokens(seed=3), target_tokens(seed=3))
    for name, a, b in zip(Results._fields, got, expected, strict=True):
        assert_close(a, b, f"exported {name}", 1e-6)


def test_moves_to_another_device_as_a_whole():
    """On the meta device no tensor has values: a constant left behind on the CPU would fail."""
    model = Memformer(**SIZES).to("meta")
    mask = torch.ones(BATCH, SOURCE, dtype=torch.bool, device="meta")
    x = model.encoder.token_emb(source_tokens().to("meta"))
    mems = model.get_initial_mem(BATCH)
    enc_out = model.encoder.layer_blocks(x, context=mems, src_mask=mask)
    assert enc_out.device.type == "meta"
    assert model.memory_writer(mems, enc_out, mask).device.type == "meta"
    blocks = model.decoder.net.layer_blocks
    tgt = model.decoder.net.token_emb(target_tokens().to("meta"))
    assert blocks(tgt, context=enc_out, src_mask=mask).device.type == "meta"


def test_new_models_are_new():
    torch.manual_seed(0)
    first = Memformer(**SIZES).state_dict()
    second = Memformer(**SIZES).state_dict()
    torch.manual_seed(0)
    again = Memformer(**SIZES).state_dict()
    assert not torch.equal(first["memory_slots"], second["memory_slots"])
    for name, value in first.items():
        assert torch.equal(value, again[name]), f"{name} does not follow torch.manual_seed"


# Importing

IMPORT = """
import json, os, random, sys, warnings
import torch

def state():
    return {
        "torch random state": hash(bytes(torch.get_rng_state().tolist())),
        "python random state": hash(random.getstate()),
        "default dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "grad mode": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "warning filters": repr(warnings.filters),
        "showwarning": repr(warnings.showwarning),
        "environment": sorted(os.environ.items()),
        "directory": os.getcwd(),
        "path": sys.path,
        "recursion limit": sys.getrecursionlimit(),
        "hook": repr(sys.excepthook),
        "print options": repr(torch._tensor_str.PRINT_OPTS),
    }

warnings.simplefilter("error")
before = json.dumps(state(), default=str)
loaded = set(sys.modules)
import memformer_lite
after = json.dumps(state(), default=str)
before, after = json.loads(before), json.loads(after)
fresh = set(sys.modules) - loaded
new = sorted({name.split(".")[0] for name in fresh})
print(json.dumps({
    "changed": [name for name in before if before[name] != after[name]],
    "others": sorted(name for name in fresh if not name.startswith("memformer_lite")),
    "third party": [name for name in new if name not in sys.stdlib_module_names
                    and name not in ("memformer_lite", "torch")],
    "figures": any(name.startswith("memformer_lite.figures") for name in sys.modules),
}))
"""


@pytest.fixture(scope="module")
def imported():
    """Import the package in a fresh interpreter; report what that changed and loaded."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1 and not done.stderr, f"the import prints: {done.stdout}{done.stderr}"
    return json.loads(lines[0])


def test_importing_changes_no_global_state(imported):
    assert not imported["changed"], f"changed by the import: {imported['changed']}"


def test_importing_needs_torch_only(imported):
    assert not imported["third party"], f"loaded beside torch: {imported['third party']}"
    assert not imported["figures"], "the import loads the figures"


def test_importing_is_light(imported):
    """Beside its own modules it loads next to nothing that torch had not loaded already."""
    assert len(imported["others"]) <= 3, f"loaded by the import: {imported['others']}"


def test_all_names_exist_and_have_a_docstring():
    import memformer_lite

    for name in memformer_lite.__all__:
        thing = getattr(memformer_lite, name)
        assert thing.__module__.startswith("memformer_lite."), f"{name} is not this package's"
        assert thing.__doc__, f"{name} has no docstring"


# torch.func, and derivatives of derivatives: what loops give.

slow_path = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


@slow_path
@pytest.mark.parametrize("update", ["gru", "bmn"])
def test_jacobian_and_vmap_over_memories(update):
    model, mems = make_model(mem_update=update), randn(BATCH, SLOTS, SIZES["dim"])
    src = source_tokens()

    def after(mems):
        return model(src, mems=mems).mem

    expected = torch.autograd.functional.jacobian(after, mems)
    assert_close(torch.func.jacrev(after)(mems), expected, "jacrev", 1e-13)
    several = randn(5, BATCH, SLOTS, SIZES["dim"])
    expected = torch.stack([after(mems) for mems in several])
    assert_close(torch.func.vmap(after)(several), expected, "vmap", 1e-13)


@slow_path
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_an_ensemble_in_one_call_gives_what_its_models_give(options):
    models = [make_model(seed, **options) for seed in range(3)]
    base, src = make_model(9, **options), source_tokens()

    def call(weights, buffers):
        return torch.func.functional_call(base, (weights, buffers), src, {"src_mask": MASK})[:2]

    enc_out, mems = torch.func.vmap(call)(*torch.func.stack_module_state(models))
    for index, model in enumerate(models):
        expected = model(source_tokens(), src_mask=MASK)
        assert_close(enc_out[index], expected.enc_out, f"model {index}", 1e-13)
        assert_close(mems[index], expected.mem, f"model {index}", 1e-13)


@slow_path
@pytest.mark.parametrize("update", ["gru", "bmn"])
def test_gradients_of_each_row_in_one_call(update):
    model = make_model(mem_update=update)
    given = (source_tokens(), target_tokens(), MASK, length_mask([TARGET, 4, 2], TARGET))

    def loss(weights, src, tgt, src_mask, tgt_mask):
        rows = (src[None], tgt[None], None, src_mask[None], tgt_mask[None])
        return torch.func.functional_call(model, weights, rows).dec_out

    weights = dict(model.named_parameters())
    per_row = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0, 0, 0))(weights, *given)
    for row in range(BATCH):
        model.zero_grad()
        loss(weights, *(tensor[row] for tensor in given)).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert_close(per_row[name][row], parameter.grad, f"row {row}, {name}", 1e-13)


def test_derivatives_of_derivatives_where_attention_is_spelt_out():
    model, mems = make_model(), randn(BATCH, SLOTS, SIZES["dim"])

    def part(slot):
        whole = torch.cat((slot, mems[:, 1:]), dim=1)
        return model(source_tokens(), mems=whole).mem[:, 0, :3]

    with sdpa_kernel(SDPBackend.MATH):
        first = mems[:, :1].clone().requires_grad_()
        assert torch.autograd.gradgradcheck(part, (first,))


def test_ids_are_looked_at_in_eager_mode_also_under_grad():
    """Only vmap may not look at values; everywhere else a wrong id is refused by name."""
    model = make_model()

    def loss(weights):
        wrong = torch.full((BATCH, TARGET), SIZES["dec_num_tokens"])
        return torch.func.functional_call(model, weights, (source_tokens(), wrong)).dec_out

    with pytest.raises(ValueError, match="tgt: expected token ids"):
        torch.func.grad(loss)(dict(model.named_parameters()))
