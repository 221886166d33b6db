"""Speed against PyPI memformer 0.3.1: one process, one thread, the two interleaved.

Every figure is a ratio, time of the reference divided by ours; above 1 we are faster. Each pair of
runs gives one ratio, and the table shows their median, so that load on the machine hits both
sides. Before anything is timed, the two are checked to compute the same.
"""

import statistics
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
Pair = tuple[Callable, Callable]  # what is timed: theirs and ours


def models(
    dim: int, tokens: int, slots: int, depth: int = DEPTH, *, device: str = "cpu"
) -> tuple[torch.nn.Module, Memformer]:
    """Return the reference and ours, with the same weights, on `device`."""
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
    return theirs.eval().to(device), ours.eval().to(device)


def clock(device: str) -> float:
    """Return the time in seconds, once `device` has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(pair: Pair, *, device: str = "cpu", seconds: float = SECONDS) -> list[tuple]:
    """Run both in turn for about `seconds`; return the seconds that theirs and ours took."""
    theirs, ours = pair
    theirs(), ours()  # warm-up
    times = []
    end = clock(device) + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = clock(device)
        theirs()
        middle = clock(device)
        ours()
        times.append((middle - start, clock(device) - middle))
    return times


def ratio(times: list[tuple]) -> float:
    """Return the median of theirs / ours."""
    return statistics.median(theirs / ours for theirs, ours in times)


def segment_pairs(shape: tuple[int, int, int, int], *, device: str = "cpu") -> dict[str, Pair]:
    """Return encode + write, the same + decoder, and forward + backward, checked to agree."""
    dim, tokens, slots, batch = shape
    theirs, ours = models(dim, tokens, slots, device=device)
    src = torch.randint(VOCABULARY, (batch, tokens)).to(device)
    tgt = torch.randint(VOCABULARY, (batch, tokens)).to(device)
    torch.testing.assert_close(
        theirs(src, tgt)[1:], tuple(ours(src, tgt)[1:]), rtol=1e-4, atol=1e-4
    )

    def train(model: torch.nn.Module) -> Callable:
        def step() -> None:
            _, mems, loss = model(src, tgt)
            (loss + mems.square().mean()).backward()

        return step

    def read(model: torch.nn.Module, *given: torch.Tensor) -> Callable:
        return torch.no_grad()(lambda: model(*given))

    return {
        "encode + write": (read(theirs, src), read(ours, src)),
        "+ decoder": (read(theirs, src, tgt), read(ours, src, tgt)),
        "fwd + bwd": (train(theirs), train(ours)),
    }


def greedy_pair(dim: int, batch: int, *, device: str = "cpu") -> Pair:
    """Return greedy decoding, ours with a KV cache, checked to write the same tokens."""
    theirs, ours = models(dim, CONTEXT, 16, device=device)
    context = ours(torch.randint(VOCABULARY, (batch, CONTEXT)).to(device)).enc_out.detach()
    start = torch.randint(VOCABULARY, (batch, 1)).to(device)

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
        raise RuntimeError("the two decoders wrote different tokens")
    return reference_greedy, our_greedy


def main() -> None:
    torch.set_num_threads(1)
    print(f"Time of memformer 0.3.1 divided by ours, torch {torch.__version__}, one thread\n")
    print(
        f"{'dim/segment/slots/batch':<26}{'encode + write':>16}{'+ decoder':>12}{'fwd + bwd':>12}"
    )
    for shape in SHAPES:
        ratios = [ratio(timed(pair)) for pair in segment_pairs(shape).values()]
        name = "/".join(map(str, shape))
        print(f"{name:<26}{ratios[0]:>15.2f}×{ratios[1]:>11.2f}×{ratios[2]:>11.2f}×", flush=True)
    print(f"\n{'greedy, dim/batch':<26}{f'{NEW_TOKENS} tokens':>16}")
    for dim, batch in DECODING:
        print(f"{f'{dim}/{batch}':<26}{ratio(timed(greedy_pair(dim, batch))):>15.2f}×", flush=True)


if __name__ == "__main__":
    main()
