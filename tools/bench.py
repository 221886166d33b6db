"""Speed against PyPI memformer 0.3.1: one process, one thread, the two interleaved.

Every figure is a ratio, time of the reference divided by ours; above 1 we are faster. Each pair of
runs gives one ratio, and the table shows their median, so that load on the machine hits both
sides. Before anything is timed, the two are checked to compute the same.
"""

import statistics
import sys
import time
from collections.abc import Callable

import memformer as reference
import torch

from memformer_lite import Memformer, load_reference

SHAPES = (  # width, tokens a segment, slots, batch
    (128, 128, 16, 1),
    (128, 512, 16, 1),
    (128, 512, 128, 8),
    (256, 512, 128, 1),
    (512, 512, 128, 1),
)
DECODING = ((128, 1), (256, 1), (256, 8), (512, 1))  # width, batch
VOCABULARY, DEPTH, CONTEXT, NEW_TOKENS = 256, 2, 512, 256
SECONDS = 4.0  # for one figure of the table


def models(
    dim: int, tokens: int, slots: int, depth: int = DEPTH
) -> tuple[torch.nn.Module, Memformer]:
    """Return the reference and ours, with the same weights."""
    sizes = {
        "dim": dim,
        "num_memory_slots": slots,
        "enc_num_tokens": VOCABULARY,
        "enc_max_seq_len": tokens,
        "enc_depth": depth,
        "dec_num_tokens": VOCABULARY,
        "dec_max_seq_len": tokens,
        "dec_depth": depth,
    }
    torch.manual_seed(0)
    theirs = reference.Memformer(**sizes)
    ours = Memformer(**sizes, position_buckets="reference")
    load_reference(ours, theirs.state_dict())
    return theirs.eval(), ours.eval()


def ratio(theirs: Callable, ours: Callable) -> float:
    """Time both in turn for about `SECONDS`; return the median of theirs / ours."""
    theirs(), ours()  # warm-up
    ratios = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(ratios) < 3:
        start = time.perf_counter()
        theirs()
        middle = time.perf_counter()
        ours()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return statistics.median(ratios)


def encode_and_decode(shape: tuple[int, int, int, int]) -> list[float]:
    """Ratios of encode + write, the same + decoder, and forward + backward."""
    dim, tokens, slots, batch = shape
    theirs, ours = models(dim, tokens, slots)
    src = torch.randint(VOCABULARY, (batch, tokens))
    tgt = torch.randint(VOCABULARY, (batch, tokens))
    torch.testing.assert_close(
        theirs(src, tgt)[1:], tuple(ours(src, tgt)[1:]), rtol=1e-4, atol=1e-4
    )

    def train(model: torch.nn.Module) -> Callable:
        def step() -> None:
            _, mems, loss = model(src, tgt)
            (loss + mems.square().mean()).backward()

        return step

    with torch.no_grad():
        encode = ratio(lambda: theirs(src), lambda: ours(src))
        decode = ratio(lambda: theirs(src, tgt), lambda: ours(src, tgt))
    return [encode, decode, ratio(train(theirs), train(ours))]


def greedy(dim: int, batch: int) -> float:
    """Ratio of greedy decoding, ours with a KV cache."""
    theirs, ours = models(dim, CONTEXT, 16)
    context = ours(torch.randint(VOCABULARY, (batch, CONTEXT))).enc_out.detach()
    start = torch.randint(VOCABULARY, (batch, 1))

    @torch.no_grad()
    def reference_greedy() -> torch.Tensor:
        # Their generate() cannot run; this is its loop without the argument that breaks it.
        tokens = start
        for _ in range(NEW_TOKENS):
            logits = theirs.decoder.net(tokens, context=context)[:, -1]
            tokens = torch.cat((tokens, logits.argmax(dim=-1, keepdim=True)), dim=1)
        return tokens[:, 1:]

    def our_greedy() -> torch.Tensor:
        return ours.generate(start, NEW_TOKENS, context=context, temperature=0)

    if not torch.equal(reference_greedy(), our_greedy()):
        sys.exit("bench: the two decoders wrote different tokens")
    return ratio(reference_greedy, our_greedy)


def main() -> None:
    torch.set_num_threads(1)
    print(f"Time of memformer 0.3.1 divided by ours, torch {torch.__version__}, one thread\n")
    print(
        f"{'dim/segment/slots/batch':<26}{'encode + write':>16}{'+ decoder':>12}{'fwd + bwd':>12}"
    )
    for shape in SHAPES:
        ratios = encode_and_decode(shape)
        name = "/".join(map(str, shape))
        print(f"{name:<26}{ratios[0]:>15.2f}×{ratios[1]:>11.2f}×{ratios[2]:>11.2f}×", flush=True)
    print(f"\n{'greedy, dim/batch':<26}{f'{NEW_TOKENS} tokens':>16}")
    for dim, batch in DECODING:
        print(f"{f'{dim}/{batch}':<26}{greedy(dim, batch):>15.2f}×", flush=True)


if __name__ == "__main__":
    main()
