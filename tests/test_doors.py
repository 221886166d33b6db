"""Each argument is checked once, at the door through which it came, and never again inside."""

import sys
import threading
from collections import Counter

import pytest
import torch
from helpers import (
    BATCH,
    SIZES,
    SLOTS,
    SOURCE,
    TARGET,
    length_mask,
    make_model,
    randn,
    source_tokens,
    target_tokens,
)

from memformer_lite import (
    Encoder,
    Memformer,
    MemoryWriter,
    TransformerWrapper,
    memory_replay_backprop,
)
from memformer_lite.validation import checked, unchecked

DIM = SIZES["dim"]
WRONG_MASK = torch.ones(1, 1, dtype=torch.bool)  # would broadcast in silence


def calls(function) -> Counter:
    """How often each check ran during a call, those called by other checks included."""
    counts = Counter()

    def see(frame, event, _):
        name = frame.f_code.co_name.lstrip("_")
        if event == "call" and name.startswith("check_"):
            counts[name] += 1

    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counts


def whole_segment(model):
    return model(
        source_tokens(),
        target_tokens(),
        mems=randn(BATCH, SLOTS, DIM),
        src_mask=length_mask([SOURCE, 4, 0], SOURCE),
        tgt_mask=length_mask([TARGET, 4, 2], TARGET),
    )


def test_a_forward_with_loss_takes_at_most_15_checks_and_looks_at_each_id_once():
    model = make_model()
    counts = calls(lambda: whole_segment(model))
    assert 5 <= counts.total() <= 15, counts
    assert counts["check_tokens"] == 2, "src and tgt are looked at once each"


def test_writing_32_tokens_takes_at_most_30_checks():
    model = make_model(dec_max_seq_len=40)
    enc_out, mask = randn(BATCH, SOURCE, DIM), length_mask([SOURCE, 4, 1], SOURCE)
    options = {"context": enc_out, "context_mask": mask, "top_k": 5, "top_p": 0.9}
    counts = calls(lambda: model.generate(target_tokens(length=1), 32, eos_token=3, **options))
    assert 10 <= counts.total() <= 30, counts
    assert counts["check_sampling"] == counts["check_tokens"] == 1


def test_building_a_model_takes_at_most_25_checks():
    counts = calls(lambda: Memformer(**SIZES))
    assert 10 <= counts.total() <= 25, counts


def test_replay_checks_a_document_once_however_many_segments_it_has():
    model = make_model()
    few, many = (
        calls(lambda src=src: memory_replay_backprop(model, src, target_tokens()))
        for src in (source_tokens(length=26), source_tokens(length=130))
    )
    few.pop("check_step"), many.pop("check_step")  # what the steps return
    assert many["check_tokens"] == few["check_tokens"] == 2
    assert many["check_mask"] <= few["check_mask"]


DOORS = {
    "memformer": lambda: make_model()(source_tokens(), src_mask=WRONG_MASK),
    "encoder": lambda: make_model().encoder(source_tokens(), src_mask=WRONG_MASK),
    "layers": lambda: Encoder(6, 1, heads=2)(torch.randn(2, 3, 6), src_mask=WRONG_MASK),
    "layer": lambda: Encoder(6, 1, heads=2).layers[0](torch.randn(2, 3, 6), query_mask=WRONG_MASK),
    "reading": lambda: (
        Encoder(6, 1, heads=2)
        .layers[0]
        .read(torch.randn(2, 3, 6), context=torch.randn(2, 4, 6), kv_mask=WRONG_MASK)
    ),
    "writer": lambda: MemoryWriter(6, heads=2)(
        torch.randn(2, 3, 6), torch.randn(2, 4, 6), WRONG_MASK
    ),
    "slot attention": lambda: MemoryWriter(6, heads=2).attention(
        torch.randn(2, 3, 6), torch.randn(2, 4, 6), WRONG_MASK
    ),
    "decoder": lambda: make_model().decoder(target_tokens(), tgt_mask=WRONG_MASK),
    "its net": lambda: make_model().decoder.net(target_tokens(), tgt_mask=WRONG_MASK),
    "logits": lambda: make_model().logits(
        target_tokens(), randn(BATCH, SOURCE, DIM), src_mask=WRONG_MASK
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_public_part_is_a_door(door):
    with pytest.raises(ValueError, match="mask: expected shape"):
        DOORS[door]()


def test_layers_of_the_readers_own_check_what_they_call():
    """A wrapper of the package around other layers: the pieces that these use still refuse."""

    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Encoder(DIM, 1, heads=2).double()

        def forward(self, x, context=None, src_mask=None):
            return self.inner(x, context=context, src_mask=WRONG_MASK)

    model = make_model()
    model.encoder = TransformerWrapper(
        num_tokens=23, max_seq_len=13, dim=DIM, layer_blocks=Mine(), return_logits=False
    ).double()
    with pytest.raises(ValueError, match="src_mask: expected shape"):
        model(source_tokens())


def test_an_error_inside_leaves_the_door_shut():
    model = make_model()
    handle = model.memory_writer.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(source_tokens())
    handle.remove()
    assert unchecked()
    with pytest.raises(ValueError, match="src_mask"):
        model(source_tokens(), src_mask=WRONG_MASK)


def test_one_thread_says_nothing_about_another():
    seen = []
    with checked():
        assert not unchecked()
        other = threading.Thread(target=lambda: seen.append(unchecked()))
        other.start()
        other.join()
        with checked(False):
            assert unchecked()
        assert not unchecked()
    assert seen == [True]
    assert unchecked()
