"""Which tensors of a state dict are Toeplitz kernels: from names and shapes to `ToeplitzLayer`.

A name is a path of segments. Wrappers (``module``, ``_orig_mod``, a leading ``model``) are taken off; what
remains splits into a *block* (``mixer_blocks.3``), the name of its token mixer, and a *tail*:

=========================  ============================================  ==================
tail                       shape                                         layout
=========================  ============================================  ==================
``weight``                 (1, n); (n,) under ``blocks.{i}.mixer``       flat; early
``weight``                 (k, n), ``token_mixing_layer``                channel kernel
``weight``, ``weight_raw``  (H, n), ``blocks.{i}.mixer``                 optimised heads
``{j}.weight``             (1, n), two of them                           expanded
``mixer_heads.{h}.weight``  (1, n)                                       heads
``mixer_heads.{h}.{j}.weight``  (1, n), two of them                      expanded heads
``mixer_heads.weight``     (H, n)                                        parallel heads
``filter.c``, ...          see `generated`                               state space
``filters.{j}.skip``, ...  see `generated`                               implicit filter
``filter.kernels``         (d, n), saved as they were generated          generated
=========================  ============================================  ==================

``weight_raw`` in place of ``weight`` always means kernel = softplus(weight_raw).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toeplitz_theory.checkpoints.checkpoint import Skipped, ToeplitzLayer
from toeplitz_theory.checkpoints.generated import find_generators
from toeplitz_theory.checkpoints.stores import TensorInfo, TensorStore

LAYOUTS_UNDERSTOOD = (
    "mixer_blocks.{i}.token_mixing_layer.weight (also .{j}.weight, .mixer_heads.{h}.weight, "
    ".mixer_heads.{h}.{j}.weight, .mixer_heads.weight; also under encoderblocks and decoderblocks), "
    "blocks.{i}.mixer.weight and .weight_raw"
)

_WRAPPERS_ANYWHERE = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_WRAPPERS_IN_FRONT = {"model", "base_model"}
_STACKS = {"mixer_blocks", "encoderblocks", "decoderblocks", "blocks"}
_NUMBER = re.compile(r"[0-9]{1,9}")
_LEAVES = {"weight", "weight_raw"}
_COMPANIONS = {"proj_head", "in_proj", "inp_proj", "out_proj", "short_filter"}
_ATTENTION = {("in_proj", "weight"), ("out_proj", "weight")}


@dataclass(frozen=True)
class _Place:
    """Where a tensor of a token mixer sits; `part` is its number inside an expanded mixer."""

    key: str
    block: str
    mixer: str
    tail: tuple[str, ...]


@dataclass(frozen=True)
class _Slot:
    place: _Place
    layout: str
    head: int | None
    part: int | None


def find_layers(
    store: TensorStore, config: Mapping[str, Any] | None = None
) -> tuple[list[ToeplitzLayer], list[Skipped], int]:
    """Find the Toeplitz kernels of a state dict.

    Parameters
    ----------
    store : TensorStore
        The tensors by name.
    config : mapping, optional
        ``config.json``: generated kernels have as many taps as it says, and it names what is row-normalised.

    Returns
    -------
    layers : list of ToeplitzLayer
        In reading order.
    skipped : list of Skipped
        Token mixers, or tensors of one, that hold no Toeplitz kernel.
    ignored : int
        Number of tensors that are no token mixers.
    """
    mixers = _group(store.infos)
    config = config or {}
    layers: list[ToeplitzLayer] = []
    skipped: list[Skipped] = []
    kept = 0
    for block, mixer in sorted(mixers, key=lambda name: _reading_order(name[0])):
        places = mixers[block, mixer]
        name = _join(block, mixer)
        made, left_out, used = _read_generated(store, name, places, config)
        found, more = _read_mixer(store, name, [p for p in places if p.key not in used], bool(used))
        layers += [*made, *(_as_configured(layer, config) for layer in found)]
        skipped += [*left_out, *more]
        kept += len(used | {layer.key for layer in found}) + sum(s.name in store.infos for s in more)
    return layers, skipped, len(store.infos) - kept


def _group(names: Iterable[str]) -> dict[tuple[str, str], list[_Place]]:
    """Gather the tensors of each token mixer; keep wrappers in the names where two would fall together."""
    names = list(names)
    for strip in (True, False):
        groups: dict[tuple[str, str], list[_Place]] = defaultdict(list)
        for name in names:
            place = _place(name, strip)
            if place is not None:
                groups[place.block, place.mixer].append(place)
        if all(len({p.tail for p in group}) == len(group) for group in groups.values()):
            break
    return groups


def _place(key: str, strip: bool) -> _Place | None:
    segments = key.split(".")
    if strip:
        segments = [s for s in segments if s not in _WRAPPERS_ANYWHERE]
        while segments and segments[0] in _WRAPPERS_IN_FRONT:
            segments = segments[1:]
    for at, segment in enumerate(segments):
        after_a_stack = at >= 2 and segments[at - 2] in _STACKS and _is_number(segments[at - 1])
        if segment == "token_mixing_layer" or (segment == "mixer" and after_a_stack):
            return _Place(key, ".".join(segments[:at]), segment, tuple(segments[at + 1 :]))
    return None


def _is_number(segment: str) -> bool:
    return _NUMBER.fullmatch(segment) is not None


def _join(*segments: str) -> str:
    return ".".join(s for s in segments if s)


def _reading_order(name: str) -> tuple[object, ...]:
    """Encoder first, decoder last; numbers by size, so that block 2 comes before block 10."""
    segments = name.split(".")
    rank = 1
    if any(s.startswith("decoder") for s in segments):
        rank = 2
    elif any(s.startswith("encoder") for s in segments):
        rank = 0
    return (rank, *((0, int(s), "") if _is_number(s) else (1, 0, s) for s in segments))


def _read_generated(
    store: TensorStore, name: str, places: list[_Place], config: Mapping[str, Any]
) -> tuple[list[ToeplitzLayer], list[Skipped], set[str]]:
    """Read the generated kernels of a token mixer; also the names of all tensors that make them."""
    by_tail = {place.tail: place for place in places}
    layers: list[ToeplitzLayer] = []
    skipped: list[Skipped] = []
    used: set[str] = set()
    for module, generator in find_generators(by_tail):
        sources = {part: by_tail[(*module, *part.split("."))].key for part in generator.tensors}
        used |= set(sources.values())
        key, layer = sources[generator.key], _join(places[0].block, *module)
        try:
            kernels = generator.make(store, sources, config)
        except ValueError as wrong:
            skipped.append(Skipped(_join(name, *module), str(wrong)))
            continue
        layers += [
            ToeplitzLayer(layer, head, kernel, store.infos[key].dtype, key, generator.layout, generator.note)
            for head, kernel in enumerate(kernels)
        ]
    for tail, place in by_tail.items():
        info = store.infos[place.key]
        if info.unreadable:
            continue
        if tail[1:] and tail[-1] == "kernels" and len(info.shape) == 2 and 0 not in info.shape:
            # What a training run keeps of kernels that no tensor holds.
            used.add(place.key)
            layer, rows = _join(place.block, *tail[:-1]), store.values(place.key)
            layers += [
                ToeplitzLayer(layer, head, kernel, info.dtype, place.key, "generated")
                for head, kernel in enumerate(rows)
            ]
    return layers, skipped, used


def _as_configured(layer: ToeplitzLayer, config: Mapping[str, Any]) -> ToeplitzLayer:
    """Add to a layer's note what only the configuration tells."""
    notes = []
    if config.get("mixer") == "frozen_toeplitz":
        notes.append("frozen: as it was drawn")
    normalised = bool(config.get("row_normalised"))
    if normalised:
        notes.append("row-normalised: the layer is D T(a), each row divided by its sum")
    note = "; ".join(filter(None, (layer.note, *notes)))
    return replace(layer, note=note, row_normalised=normalised)


def _read_mixer(
    store: TensorStore, name: str, places: list[_Place], generated: bool = False
) -> tuple[list[ToeplitzLayer], list[Skipped]]:
    """Read one token mixer; ``generated`` says that kernels of it have been found already."""
    if any(place.tail[-1:] == ("decay_value",) for place in places):
        reason = (
            "its decay_value marks a 'repeat' mixer, a recurrence with one weight per position: not Toeplitz"
        )
        return [], [Skipped(name, reason)]
    infos = {place.tail: store.infos[place.key] for place in places}
    slots: list[_Slot] = []
    skipped: list[Skipped] = []
    strangers: list[_Place] = []
    for place in places:
        slot = _slot(place)
        if slot is None:
            if not _is_companion(place.tail):
                strangers.append(place)
            continue
        reason = _refusal(slot, infos)
        if reason:
            skipped.append(Skipped(place.key, reason))
        else:
            slots.append(slot)
    if slots:
        skipped += [
            Skipped(p.key, "a tensor of this token mixer that no known layout has: not applied")
            for p in strangers
        ]
    elif not skipped and not generated:
        skipped = [Skipped(name, _other_kind(places))]
    return list(_read_slots(store, slots)), sorted(skipped, key=lambda s: _reading_order(s.name))


def _other_kind(places: list[_Place]) -> str:
    tails = {place.tail for place in places if place.tail[-1:] != ("bias",)}
    if tails == _ATTENTION:
        return "attention, or linear attention: what multiplies the past depends on the input, no kernel does"
    return "a token mixer of another kind: its tensors are " + _listed(places)


def _listed(places: list[_Place]) -> str:
    tails = sorted(".".join(p.tail) or "(itself)" for p in places)
    return ", ".join(tails[:6]) + (f" and {len(tails) - 6} more" if len(tails) > 6 else "")


def _is_companion(tail: tuple[str, ...]) -> bool:
    return tail[:1] != () and (tail[-1] == "bias" or tail[0] in _COMPANIONS)


def _slot(place: _Place) -> _Slot | None:
    """Read the tail of a tensor name; None when it is not that of a kernel."""
    tail = place.tail
    if not tail or tail[-1] not in _LEAVES:
        return None
    match [*tail[:-1]]:
        case []:
            return _Slot(place, "flat" if place.mixer == "token_mixing_layer" else "early", None, None)
        case ["mixer_heads"]:
            return _Slot(place, "parallel heads", None, None)
        case ["mixer_heads", h] if _is_number(h):
            return _Slot(place, "heads", int(h), None)
        case ["mixer_heads", h, j] if _is_number(h) and _is_number(j):
            return _Slot(place, "expanded heads", int(h), int(j))
        case [j] if _is_number(j):
            return _Slot(place, "expanded", None, int(j))
    return None


def _refusal(slot: _Slot, infos: dict[tuple[str, ...], TensorInfo]) -> str:
    """Say why a tensor at the place of a kernel is none; empty when it is one."""
    info = infos[slot.place.tail]
    shape = info.shape
    if info.unreadable:
        return info.unreadable
    if len(shape) not in (1, 2):
        return f"a Toeplitz kernel has shape (n,) or (rows, n), not {shape}"
    if 0 in shape:
        return f"shape {shape} holds no taps"
    if len(shape) == 1 or shape[0] == 1:
        return ""
    if slot.head is not None or slot.part is not None:
        return f"shape {shape} where one kernel (1, n) belongs: a dense layer, not Toeplitz"
    if slot.layout == "parallel heads" or slot.place.tail[-1] == "weight_raw":
        return ""
    return _bank_refusal(shape, infos.get((*slot.place.tail[:-1], "bias")))


def _bank_refusal(shape: tuple[int, ...], bias: TensorInfo | None) -> str:
    """Tell kernels (rows, n), whose bias has n entries, from a dense layer, whose bias has `rows`."""
    rows, n = shape
    if rows == n:
        return f"a dense ({n}, {n}) token mixer, not Toeplitz"
    if bias is None:
        return "" if rows < n else f"shape {shape} has more rows than taps: a dense layer, not Toeplitz"
    if bias.shape in ((n,), (rows, n)):
        return ""
    return f"shape {shape} with a bias of shape {bias.shape}: a dense layer, not Toeplitz"


def _read_slots(store: TensorStore, slots: list[_Slot]) -> Iterator[ToeplitzLayer]:
    parts = sorted({slot.part for slot in slots if slot.part is not None})
    named = dict(zip(parts, ("first", "second"), strict=True)) if len(parts) == 2 else {}
    for slot in sorted(slots, key=lambda s: (s.part or 0, s.head or 0)):
        part = "" if slot.part is None else named.get(slot.part, f"part{slot.part}")
        layer = _join(slot.place.block, part) or slot.place.mixer
        yield from _read_slot(store, slot, layer)


def _read_slot(store: TensorStore, slot: _Slot, layer: str) -> Iterator[ToeplitzLayer]:
    """Read the kernels of one tensor: one, or one per head or tap."""
    key = slot.place.key
    info = store.infos[key]
    rows = store.values(key).reshape(-1, info.shape[-1])
    layout, many = slot.layout, False
    if slot.head is None and slot.part is None:
        many = len(rows) > 1 or layout == "parallel heads"
        if layout == "early" and (many or slot.place.tail[-1] == "weight_raw"):
            layout, many = "optimised heads", len(info.shape) == 2
        elif layout == "flat" and many:
            layout = "channel kernel"
    softplus = slot.place.tail[-1] == "weight_raw"
    for row, stored in enumerate(rows):
        notes = list(_notes(stored, info.dtype, softplus))
        if layout == "channel kernel":
            notes.insert(0, f"one of k={len(rows)} taps over channels, the last on the diagonal")
        kernel = _softplus(stored) if softplus else stored
        head = row if many else slot.head
        yield ToeplitzLayer(layer, head, kernel, info.dtype, key, layout, "; ".join(notes))


def _softplus(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)) without overflow.

    torch returns x itself above 20, where the two differ by less than exp(-20) = 2.1e-9.
    """
    with np.errstate(invalid="ignore"):
        return np.logaddexp(0.0, x)


def _notes(stored: np.ndarray, dtype: str, softplus: bool) -> Iterator[str]:
    if softplus:
        yield "kernel = softplus(weight_raw)"
    if dtype == "bool" or "int" in dtype:
        yield f"stored as {dtype}: values taken as they are, without a scale"
        if dtype in ("int64", "uint64") and np.any(np.abs(stored) > 2.0**53):
            yield "integers beyond 2**53 are rounded to float64"
    elif dtype.startswith("float8"):
        yield f"stored as {dtype}: values taken as they are, without a scale"
    finite = np.isfinite(stored)
    if not finite.all():
        yield f"{int(np.isnan(stored).sum())} nan and {int(np.isinf(stored).sum())} inf of {len(stored)} taps"
    elif not softplus and not stored.any():
        yield "all taps are zero"
    elif not softplus and stored[0] == 0.0:
        yield "w[0] = 0: the layer begins with a delay"
