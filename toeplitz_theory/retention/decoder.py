"""Reconstruction of the whole input from one frozen hidden vector, by a decoder trained for it.

The measure of the paper on Toeplitz MLP Mixers (arXiv 2605.06683), with one decoder, budget, position and
treatment of the code for every architecture, and beside it what a closed formula reads off the same vector.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from toeplitz_theory.errors import InputError, NumericalError
from toeplitz_theory.retention.measure import Measured, bootstrap
from toeplitz_theory.retention.recall import probe
from toeplitz_theory.retention.states import (
    Tokens,
    chosen_layers,
    states_of,
    text_of,
    vocabulary,
)
from toeplitz_theory.tmm import TMMConfig, TMMForAutoencoding

CONTROLS = ("untrained", "constant")
_FEWEST = 100  # sequences
_TEST = 0.15
_EVALUATED = 64

Array = NDArray[np.float64]


def untrained_twin(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return a freshly initialised model of the same class and config: what the architecture keeps untaught.

    Parameters
    ----------
    model : nn.Module
        A transformers model.
    seed : int
        Of the initial weights; torch's own generator is left as it was.

    Returns
    -------
    nn.Module
        On the same device, in evaluation mode. `toeplitz_theory.training.open_trained` gives the very start
        of a run of ours.

    Raises
    ------
    InputError
        A model without a config.

    Examples
    --------
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=16, hidden_size=8, max_position_embeddings=8))
    >>> twin = untrained_twin(model, seed=1)
    >>> bool((twin.lm_head.weight == model.lm_head.weight).all())
    False
    """
    config = getattr(model, "config", None)
    if config is None:
        raise InputError(f"{type(model).__name__} has no config: pass a transformers model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = type(model)(copy.deepcopy(config))
    return twin.to(next(iter(model.parameters())).device).eval()


def reconstruction(
    model: nn.Module,
    ids: ArrayLike | None = None,
    layer: int = -1,
    position: int = -1,
    controls: Sequence[str] = CONTROLS,
    steps: int = 400,
    learning_rate: float = 2e-3,
    samples: int = 16_000,
    length: int | None = None,
    alphabet: int | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Measured:
    """Train a decoder to give all tokens back from one hidden vector, and say how well it does by position.

    The decoder is that of `TMMForAutoencoding`: windows of the vector, two blocks, a linear head. The codes
    are standardised, channel by channel; the decoder that is tested is the one of eight on its way that does
    best on sequences apart. ``skill = 1 - loss / H`` with H the cross-entropy of the token frequencies:
    0 for a decoder that is told nothing. (Divided by log V, as is also done, no information scores above 0.)
    A low skill can be the decoder's: read it beside the controls, and beside ``closed``, the loss of a closed
    formula that reads each token off the same vector.

    Parameters
    ----------
    model : nn.Module
        A transformers causal model, or `TMMForAutoencoding`, of which the encoder is taken. Not changed.
    ids : array_like of int, shape (samples, length), optional
        Text; random tokens when not given.
    layer, position : int
        Which state is the code: by default the last position's, after the last block.
    controls : sequence of {"untrained", "constant"}
        Decoders trained the same way on the codes of an untrained twin, and on no code at all.
    steps, learning_rate
        Of each decoder: AdamW, 32 sequences a step, warm-up and cosine. A decoder that sees its sequences
        again and again learns them by heart: pass 40 times as many sequences as steps.
    samples, length, alphabet, seed
        Of the random tokens, and the seed of the decoder.
    progress : callable, optional
        Called with a line now and then.

    Returns
    -------
    Measured
        ``value`` is the skill; one row per position with ``loss``, ``accuracy``, ``closed`` and the losses of
        the controls, in nats; baselines are the skills of controls and closed formula.

    Raises
    ------
    InputError
        More positions than the code has numbers (positions i and i + d would see the same window), too few
        sequences, ids the model does not take, an unknown control.
    NumericalError
        The decoder's loss stopped being a number.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> model = TMMForCausalLM(TMMConfig(vocab_size=8, hidden_size=8, max_position_embeddings=8))
    >>> kept = reconstruction(model, length=4, samples=200, steps=20)
    >>> sorted(kept.baselines), len(kept.table)
    (['closed', 'constant', 'untrained'], 4)
    """
    begun = time.perf_counter()
    if set(controls) - set(CONTROLS):
        raise InputError(f"controls={controls!r}: choose from {', '.join(CONTROLS)}")
    (number,) = chosen_layers(model, [layer])
    text = text_of(model, ids, samples, length or 32, alphabet, seed, 5)
    count, n = text.shape
    if count < _FEWEST:
        raise InputError(f"{count} sequences are too few to train a decoder: pass at least {_FEWEST}")
    if not -n <= position < n:
        raise InputError(f"position is {position}: sequences have {n} tokens")
    say = progress or (lambda line: None)
    codes = {"model": _codes(model, text, number, position)}
    width = codes["model"].shape[1]
    if n > width:
        raise InputError(
            f"{n} tokens from a vector of {width} numbers: windows of the vector repeat after {width} "
            f"positions, so ask for at most {width}"
        )
    if "untrained" in controls:
        codes["untrained"] = _codes(untrained_twin(model, seed), text, number, position)
    if "constant" in controls:
        codes["constant"] = np.zeros_like(codes["model"])
    split = [int((0.95 - _TEST) * count), int((1 - _TEST) * count)]
    parts = np.split(np.random.default_rng([seed, 6]).permutation(count), split)
    losses, accuracy = {}, np.zeros(n)
    for name, code in codes.items():
        say(f"decoder on {name} codes")
        losses[name], right = _decoded(code, text, parts, steps, learning_rate, seed, vocabulary(model))
        accuracy = right if name == "model" else accuracy
    say("closed formula")
    closed = np.stack([_closed(codes["model"], text[:, j], parts, seed) for j in range(n)], axis=1)
    counts = np.bincount(text[parts[0]].ravel(), minlength=vocabulary(model)) + 0.5
    unigram = -np.log(counts / counts.sum())[text[parts[2]]]  # (test, n)
    entropy = float(unigram.mean())
    skill = {name: 1 - float(loss.mean()) / entropy for name, loss in losses.items()}
    return Measured(
        "reconstruction",
        "skill",
        skill["model"],
        bootstrap(1 - losses["model"].mean(axis=1) / entropy, seed),
        len(parts[2]),
        {"closed": 1 - float(closed.mean()) / entropy} | {name: skill[name] for name in controls},
        time.perf_counter() - begun,
        _by_position(losses, accuracy, closed, unigram, seed),
        {
            "interval": "95 %, bootstrap over test sequences",
            "text": "random tokens" if ids is None else "given",
            "layer": number,
            "position": position,
            "steps": steps,
            "learning_rate": learning_rate,
            "length": n,
            "entropy": entropy,
            "seed": seed,
        },
    )


def _by_position(
    losses: dict[str, Array], accuracy: Array, closed: Array, unigram: Array, seed: int
) -> dict[str, list[Any]]:
    """Return the columns by position from losses (test, length), in nats."""
    own, known = losses["model"], unigram.mean(axis=0)
    limits = [bootstrap(1 - own[:, j] / known[j], seed) for j in range(known.size)]
    lower, upper = zip(*limits, strict=True)
    columns = {
        "position": np.arange(known.size),
        "value": 1 - own.mean(axis=0) / known,
        "lower": lower,
        "upper": upper,
        "loss": own.mean(axis=0),
        "accuracy": accuracy,
        "closed": closed.mean(axis=0),
        **{name: losses[name].mean(axis=0) for name in losses if name != "model"},
        "unigram": known,
    }
    return {name: list(column) for name, column in columns.items()}


def _codes(model: nn.Module, text: Tokens, layer: int, position: int) -> NDArray[np.float32]:
    """Return (S, d) hidden vectors, every channel standardised."""
    where = position % text.shape[1]
    code = states_of(model, text, [layer], slice(where, where + 1))[layer][:, 0]
    return (code - code.mean(axis=0)) / np.maximum(code.std(axis=0), 1e-12)


def _decoded(codes, text, parts, steps, learning_rate, seed, vocab) -> tuple[Array, Array]:
    """Train a decoder; return its losses (test, length) and its accuracy by position."""
    odd = codes.shape[1] % 2  # windows are half as wide as the code
    code = torch.from_numpy(np.pad(codes, ((0, 0), (0, odd))).astype(np.float32))
    heads = next(h for h in (4, 2, 1) if code.shape[1] % h == 0)
    targets = torch.from_numpy(text)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = TMMConfig(
            vocab_size=vocab,
            hidden_size=code.shape[1],
            max_position_embeddings=text.shape[1],
            num_hidden_layers=2,
            num_heads=heads,
            initializer_range=0.05,  # at 0.02 Toeplitz decoders start slowly
        )
        decoder = TMMForAutoencoding(config).train()
        used = [p for name, p in decoder.named_parameters() if not name.startswith(("encoder", "embed"))]
        optimiser = torch.optim.AdamW(used, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
        warm = max(1, min(100, steps // 4))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda k: min(
                (k + 1) / warm, 0.5 * (1 + np.cos(np.pi * max(0, k - warm) / max(1, steps - warm)))
            ),
        )
        generator = np.random.default_rng([seed, 7])
        best, least = copy.deepcopy(decoder.state_dict()), np.inf
        for step in range(steps):
            batch = torch.from_numpy(generator.choice(parts[0], size=32))
            loss = _losses(decoder, code[batch], targets[batch])[0].mean()
            if not bool(torch.isfinite(loss)):
                raise NumericalError("the decoder's loss is not a number: pass a smaller learning_rate")
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(used, 1.0)
            optimiser.step()
            schedule.step()
            if (step + 1) % max(1, steps // 8) == 0:
                chosen = float(_evaluated(decoder, code, targets, parts[1])[0].mean())
                if chosen < least:
                    best, least = copy.deepcopy(decoder.state_dict()), chosen
    decoder.load_state_dict(best)
    losses, right = _evaluated(decoder, code, targets, parts[2])
    return losses, right.mean(axis=0)


def _evaluated(decoder, code: Tensor, targets: Tensor, part: Tokens) -> tuple[Array, Array]:
    """Return losses and hits (sequences, length) of one part."""
    decoder.eval()
    with torch.inference_mode():
        batches = torch.from_numpy(part).split(_EVALUATED)
        pieces = [_losses(decoder, code[batch], targets[batch]) for batch in batches]
    decoder.train()
    losses, right = (torch.cat(piece).double().numpy() for piece in zip(*pieces, strict=True))
    return losses, right


def _losses(decoder: TMMForAutoencoding, code: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = decoder.decode(code, targets.shape[1])
    loss = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    return loss, logits.argmax(dim=-1) == targets


def _closed(code: NDArray[np.float32], tokens: Tokens, parts: Sequence[Tokens], seed: int) -> Array:
    """Return the loss, in nats, with which a closed formula reads one position off each test code."""
    _, classes = np.unique(tokens, return_inverse=True)
    return probe(code[:, None], classes[:, None], parts, seed).losses
