"""What each public call of the model accepts: one function a door (see `validation.unchecked`).

They take the module that is called first, and then what it was given.
"""

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from memformer_lite.validation import (
    check_choice,
    check_features,
    check_flag,
    check_integers,
    check_mask,
    check_number,
    check_options,
    check_tokens,
)

if TYPE_CHECKING:  # they import this module
    from memformer_lite.attention import Attention
    from memformer_lite.decoder import AutoregressiveWrapper
    from memformer_lite.encoder import LayerStack, TransformerWrapper
    from memformer_lite.memformer import Memformer
    from memformer_lite.memory import SlotAttention

# Positions and attention (chapters 02 and 03).


def check_buckets(bidirectional: bool, num_buckets: int, max_distance: int) -> None:
    """Raise where the buckets cannot hold both an exact and a logarithmic range."""
    check_flag("bidirectional", bidirectional)
    check_integers(4 if bidirectional else 2, num_buckets=num_buckets)
    check_options(max_distance=max_distance)
    if bidirectional and num_buckets % 2:
        raise ValueError(
            f"num_buckets={num_buckets}: expected an even number, half for each direction"
        )
    max_exact = num_buckets // 4 if bidirectional else num_buckets // 2
    if max_distance <= max_exact:
        raise ValueError(
            f"max_distance={max_distance}: expected more than {max_exact}, "
            f"the distances that num_buckets={num_buckets} keeps exact"
        )


def check_integral(name: str, value: Tensor) -> None:
    """Raise unless `value` is a tensor of integers, of any width."""
    dtype = value.dtype if isinstance(value, Tensor) else None
    if dtype is None or dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise TypeError(f"{name}: expected an integer tensor, got {dtype or type(value).__name__}")


def check_rows(
    attention: "Attention", x: Tensor, context: Tensor | None, attend_self: bool
) -> None:
    """Raise unless these are rows that an `Attention` can look from, and look at."""
    weight, dim = attention.to_q.weight, attention.dim
    check_features("x", x, (None, None, dim), like=weight)
    if context is not None:
        check_features("context", context, (x.shape[0], None, dim), like=weight)
        if attention.causal:
            raise ValueError("context: expected None, since causal=True orders x alone")
    elif attend_self:
        raise ValueError("attend_self=True: expected a context to put behind x, got None")


def check_looking(
    attention: "Attention",
    size: tuple[int, int, int],
    *,
    pos_bias: Tensor | None,
    mask: Tensor | None,
    query_mask: Tensor | None,
    kv_mask: Tensor | None,
) -> None:
    """Raise unless bias and masks fit `size`: batch b, queries i, keys j."""
    b, i, j = size
    check_mask("mask", mask, (b, i, j))
    check_mask("query_mask", query_mask, (b, i))
    check_mask("kv_mask", kv_mask, (b, j))
    if pos_bias is None:
        return
    heads = attention.heads
    check_features("pos_bias", pos_bias, (None, None, i, j), like=attention.to_q.weight)
    if pos_bias.shape[0] not in (1, b) or pos_bias.shape[1] not in (1, heads):
        raise ValueError(f"pos_bias: expected 1 or {(b, heads)} first, got {tuple(pos_bias.shape)}")


# Layers and memory (chapters 04 and 05).


def check_layers(
    stack: "LayerStack",
    x: Tensor,
    context: Tensor | None,
    context_mask: Tensor | None = None,
    **masks,
) -> None:
    """Raise unless embedded tokens, their mask (by its name) and a context fit the layers."""
    weight = stack.rel_pos_emb.relative_attention_bias.weight
    check_features("x", x, (None, None, stack.dim), like=weight)
    for name, mask in masks.items():
        check_mask(name, mask, tuple(x.shape[:2]))
    check_context(context, context_mask, batch=x.shape[0], dim=stack.dim, like=weight)


def check_context(
    context: Tensor | None,
    mask: Tensor | None = None,
    *,
    batch: int,
    dim: int,
    like: Tensor,
    name: str = "src_mask",
) -> None:
    """Raise unless `context` is None or (batch, any, dim), and its mask, called `name`, fits it."""
    if context is not None:
        check_features("context", context, (batch, None, dim), like=like)
        check_mask(name, mask, tuple(context.shape[:2]))
    elif mask is not None:
        raise ValueError(f"{name}: expected None, since there is no context to mask")


def check_page(
    attention: "SlotAttention",
    mems: Tensor,
    enc_out: Tensor,
    src_mask: Tensor | None,
    slots: Tensor | None = None,
) -> None:
    """Raise unless memory, encoder output, mask and slots fit each other and the weights."""
    weight = attention.to_q.weight
    check_features("mems", mems, (None, None, attention.dim), like=weight)
    check_features("enc_out", enc_out, (mems.shape[0], None, attention.dim), like=weight)
    check_mask("src_mask", src_mask, tuple(enc_out.shape[:2]))
    if slots is not None:
        check_features("slots", slots, tuple(mems.shape[1:]), like=mems)


def check_update(name: str, update: object, rules: Iterable[str], base: type) -> None:
    """Raise unless `update` names one of the `rules` or is of the class `base`."""
    if not isinstance(update, base):
        check_choice(name, update, rules, otherwise=f" or a {base.__name__}")


def check_rule(rule: object, result: object, shape: tuple[int, ...]) -> None:
    """Raise unless `result` is what a memory rule must return: (new, gate or None) of `shape`."""
    name = type(rule).__name__
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{name}: expected (new, gate or None), got {type(result).__name__}")
    for part, value in zip(("new", "gate"), result, strict=True):
        if part == "gate" and value is None:
            continue
        check_features(f"{part} of {name}", value, tuple(shape))


# Writing (chapter 06).


def check_target(
    net: "TransformerWrapper",
    tgt: Tensor,
    tgt_mask: Tensor | None,
    *,
    at_least: int,
    batch: int | None = None,
) -> None:
    """Raise unless `tgt` fits a decoder's net, with at least so many tokens, and its mask fits."""
    sizes = {"num_tokens": net.num_tokens, "max_seq_len": net.max_seq_len}
    check_tokens("tgt", tgt, at_least=at_least, batch=batch, **sizes)
    check_mask("tgt_mask", tgt_mask, tuple(tgt.shape))


def check_writing(
    net: "TransformerWrapper",
    start_tokens: Tensor,
    context: Tensor | None,
    context_mask: Tensor | None,
    *,
    pad_token: int,
    eos_token: int | None,
    **options: Any,
) -> None:
    """Raise unless a text can be started and ended with these tokens, given this context."""
    weight, num_tokens = net.token_emb.weight, net.num_tokens
    check_tokens("start_tokens", start_tokens, num_tokens=num_tokens)
    sizes: dict[str, Any] = {"batch": len(start_tokens), "dim": weight.shape[1], "like": weight}
    check_context(context, context_mask, name="context_mask", **sizes)
    check_options(**options)
    for name, token in (("pad_token", pad_token), ("eos_token", eos_token)):
        if name == "eos_token" and token is None:
            continue
        check_integers(0, **{name: token})
        if token is not None and token >= num_tokens:
            raise ValueError(f"{name}={token}: expected a token id below {num_tokens}")


def check_sampling(
    vocabulary: int, *, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    """Raise where an option of sampling is outside its range; None leaves one out."""
    huge = torch.finfo(torch.float32).max
    check_number("temperature", temperature, low=0.0, high=huge, expected="a number, 0 or more")
    if top_k is not None:
        check_top_k(top_k, vocabulary)
    if top_p is not None:
        check_top_p(top_p)


def check_top_k(k: int, vocabulary: int) -> None:
    """Raise unless `k` is a number of tokens, at most the vocabulary."""
    check_integers(1, top_k=k)
    if k > vocabulary:
        raise ValueError(f"top_k={k}: expected at most the vocabulary, {vocabulary}")


def check_top_p(p: float) -> None:
    """Raise unless `p` is a probability above 0."""
    tiny = torch.finfo(torch.float32).tiny
    check_number("top_p", p, low=tiny, high=1.0, expected="a probability in (0, 1]")


# The whole model and its training (chapters 07 and 08).


def check_model(options: dict[str, Any]) -> None:
    """Raise unless these are options of a `Memformer`; warn where it would not use one."""
    given = {name: value for name, value in options.items() if name.startswith("dec_")}
    check_flag("encoder_only", options["encoder_only"])
    if options["encoder_only"]:
        options = {name: value for name, value in options.items() if name not in given}
        defaults = {"dec_heads": 8}
        unused = [name for name, value in given.items() if value != defaults.get(name)]
        if unused:
            warnings.warn(f"encoder_only=True leaves {', '.join(unused)} unused", stacklevel=3)
    check_options(**options)


def check_source(
    model: "Memformer",
    src: Tensor,
    src_mask: Tensor | None,
    mems: Tensor | None,
    *,
    longest: int | None,
) -> None:
    """Raise unless `src`, at most `longest` tokens a row, its mask and the memory fit a model."""
    check_tokens("src", src, num_tokens=model.encoder.num_tokens, max_seq_len=longest)
    check_mask("src_mask", src_mask, tuple(src.shape))
    if mems is not None:
        expected = (src.shape[0], model.num_memory_slots, model.dim)
        check_features("mems", mems, expected, like=model.memory_slots)


def check_target_of(
    model: "Memformer", tgt: Tensor | None, tgt_mask: Tensor | None, *, batch: int
) -> None:
    """Raise where a target or its mask does not fit source or model; None is no target."""
    if tgt is None:
        if tgt_mask is not None:
            raise ValueError("tgt_mask: expected None, since there is no tgt to mask")
    elif model.decoder is None:
        raise ValueError("tgt: expected None, since encoder_only=True leaves out the decoder")
    else:
        check_target(model.decoder.net, tgt, tgt_mask, at_least=2, batch=batch)


def check_logits(
    model: "Memformer",
    tgt: Tensor,
    enc_out: Tensor,
    src_mask: Tensor | None,
    tgt_mask: Tensor | None,
) -> None:
    """Raise unless target and encoder output, with their masks, fit a model."""
    check_target(need_decoder(model, "logits").net, tgt, tgt_mask, at_least=1)
    check_features("enc_out", enc_out, (len(tgt), None, model.dim), like=model.memory_slots)
    check_mask("src_mask", src_mask, tuple(enc_out.shape[:2]))


def need_decoder(model: "Memformer", what: str, otherwise: str = "") -> "AutoregressiveWrapper":
    """Return the decoder of a model; raise where it has none for `what`, with advice."""
    if model.decoder is None:
        raise ValueError(f"{what}: this model has no decoder (encoder_only=True){otherwise}")
    return model.decoder


# Recurrent steps (chapter 08). A state is a tensor or a tuple of tensors.


def check_recurrence(segments: Sequence, mems: object) -> None:
    """Raise unless there are segments, `mems` is a state, and gradients are switched on."""
    if not segments:
        raise ValueError("segments: expected at least one, got none")
    if not _is_state(mems):
        kind = type(mems).__name__
        raise TypeError(f"mems: expected a tensor, or a tuple of tensors, got {kind}")
    if not torch.is_grad_enabled():
        raise RuntimeError("gradients are switched off here (torch.no_grad or inference_mode)")
    if any(tensor.is_inference() for tensor in (mems if isinstance(mems, tuple) else (mems,))):
        raise ValueError("mems: made in torch.inference_mode, no gradient can use it; clone it")


def check_step(result: object) -> None:
    """Raise unless `result` is what a step must return: a scalar loss or None, and a state."""
    if not isinstance(result, tuple) or len(result) != 2:
        count = len(result) if isinstance(result, tuple) else type(result).__name__
        raise TypeError(f"step: expected to return (loss, state), got {count}")
    loss, state = result
    if loss is not None and not isinstance(loss, Tensor):
        raise TypeError(f"step: expected a tensor or None as loss, got {type(loss).__name__}")
    if loss is not None and loss.ndim:
        raise ValueError(f"step: expected a scalar loss, got shape {tuple(loss.shape)}")
    if not _is_state(state):
        raise TypeError("step: expected a tensor, or a tuple of tensors, as state")


def check_one_each(tgt: Any, tgt_mask: Any, count: int) -> None:
    """Raise unless each is a tensor, for the last segment, or a list with `count` entries."""
    for name, value in {"tgt": tgt, "tgt_mask": tgt_mask}.items():
        if isinstance(value, Tensor) or (value is None and name == "tgt_mask"):
            continue
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"{name}: expected a tensor or a list, got {type(value).__name__}")
        if len(value) != count:
            raise ValueError(f"{name}: expected {count} entries, one a segment, got {len(value)}")
    if isinstance(tgt_mask, Tensor) and not isinstance(tgt, Tensor):
        raise TypeError("tgt_mask: expected a list as tgt is one, got a tensor")
    if not isinstance(tgt, Tensor) and all(target is None for target in tgt):
        raise ValueError("tgt: expected a target for at least one segment, got none")


def _is_state(value: object) -> bool:
    tensors = value if isinstance(value, tuple) else (value,)
    return all(isinstance(tensor, Tensor) for tensor in tensors)
