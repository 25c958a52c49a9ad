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

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from toeplitz_theory.checkpoints.checkpoint import Skipped, ToeplitzLayer
from toeplitz_theory.checkpoints.dtypes import is_rounded, is_scaled
from toeplitz_theory.checkpoints.generated import Generator, find_generators
from toeplitz_theory.checkpoints.stores import TensorInfo, TensorStore
from toeplitz_theory.checkpoints.tensor_names import (
    ORIGINAL,
    Place,
    Slot,
    by_mixer,
    join,
    reading_order,
    slots_of,
)
from toeplitz_theory.checkpoints.unread import reason_for
from toeplitz_theory.names import shown

_GENERATED = "generated"
# What stands beside the kernels of each layout, by its first segment; "early" may turn out "optimised heads".
_BESIDE = {
    "heads": ("proj_head", "out_proj"),
    "expanded heads": ("proj_head", "out_proj"),
    "parallel heads": ("in_proj", "out_proj"),
    "early": ("inp_proj", "out_proj"),
    _GENERATED: ("in_proj", "out_proj", "short_filter"),
}
# What leaves the linear map as it is.
_HARMLESS = {"bias", "causal_mask", "tril", "num_batches_tracked", "_extra_state"}
_ATTENTION = {("in_proj", "weight"), ("out_proj", "weight")}


class _NoKernel(Exception):
    """Why a token mixer, or one tensor of it, is not read."""


def find_layers(
    store: TensorStore, config: Mapping[str, Any] | None = None, projections: bool = False
) -> tuple[list[ToeplitzLayer], list[Skipped], int]:
    """Find the Toeplitz kernels of a state dict.

    Parameters
    ----------
    store : TensorStore
        The tensors by name.
    config : mapping, optional
        ``config.json``: generated kernels have as many taps as it says, and it names what is row-normalised.
    projections : bool
        Whether to read the projections of heads too.

    Returns
    -------
    layers : list of ToeplitzLayer
        In reading order.
    skipped : list of Skipped
        Token mixers, or tensors of one, that hold no Toeplitz kernel.
    ignored : int
        Number of tensors that are no token mixers.
    """
    mixers = by_mixer(store.infos)
    layers: list[ToeplitzLayer] = []
    skipped: list[Skipped] = []
    kept = 0
    for block, mixer in sorted(mixers, key=lambda name: reading_order(name[0])):
        reader = _MixerReader(store, join(block, mixer), config or {}, projections)
        try:
            reader.read(mixers[block, mixer])
        except _NoKernel as reason:
            reader.layers, reader.used = [], set()
            reader.skipped.append(Skipped(reader.name, str(reason)))
        layers += reader.layers
        skipped += sorted(reader.skipped, key=lambda s: reading_order(s.name))
        kept += len(reader.used | {s.name for s in reader.skipped if s.name in store.infos})
    return layers, skipped, len(store.infos) - kept


class _MixerReader:
    """Reads one token mixer: its kernels into `layers`, what is left out into `skipped`.

    `used` are the keys of the tensors that kernels were read from.
    """

    def __init__(self, store: TensorStore, name: str, config: Mapping[str, Any], projections: bool) -> None:
        self._store, self._config, self._projections = store, config, projections
        self.name = name
        self.layers: list[ToeplitzLayer] = []
        self.skipped: list[Skipped] = []
        self.used: set[str] = set()

    def read(self, places: list[Place]) -> None:
        """Read the mixer, or raise `_NoKernel` with the reason why nothing of it is read."""
        places, note = self._trained_copy(places)
        if any(place.tail[-1:] == ("decay_value",) for place in places):
            raise _NoKernel(
                "its decay_value marks a 'repeat' mixer, a recurrence with a weight a position: not Toeplitz"
            )
        generators = self._generators(places)
        for sources in generators.values():
            self.used |= set(sources.values())
        saved = [place for place in places if self._is_saved_bank(place)]
        self.used |= {place.key for place in saved}
        slots = [slot for place in places if place.key not in self.used for slot in slots_of(place)]
        _refuse_strangers(places, slots, self.used)
        if not slots and not self.used:
            raise _NoKernel(_other_kind(places))
        _refuse_mixture(slots)
        for (module, generator), sources in generators.items():
            self._read_generated(module, generator, sources, places[0].block)
        for place in saved:
            self._add_bank(place)
        infos = {place.tail: self._store.infos[place.key] for place in places}
        whys = [infos[slot.place.tail].unreadable for slot in slots]
        readable = [slot for slot, why in zip(slots, whys, strict=True) if not why]
        self.skipped += [Skipped(slot.place.key, why) for slot, why in zip(slots, whys, strict=True) if why]
        misfit = next(filter(None, (_misfit(slot, infos) for slot in readable)), "")
        if misfit:
            raise _NoKernel(misfit)
        self.layers += _read_slots(self._store, readable)
        self.used |= {layer.key for layer in self.layers}
        self.layers = [_as_configured(layer, self._config, note) for layer in self.layers]
        if self._projections:
            self.layers = _with_projections(self._store, places, self.layers)

    def _trained_copy(self, places: list[Place]) -> tuple[list[Place], str]:
        """Choose the copy that PEFT trains, where there is one beside the original module."""
        copies = sorted({place.adapter for place in places} - {"", ORIGINAL})
        if not copies:
            return places, ""
        if len(copies) > 1:
            raise _NoKernel(
                f"copies of several adapters ({shown(', '.join(copies))}): delete all but one "
                "(model.delete_adapter) or merge it (model.merge_and_unload())"
            )
        self.skipped += [
            Skipped(place.key, f"as it was before {shown(copies[0])} was trained, which was read")
            for place in places
            if place.adapter == ORIGINAL and place.tail[-1:] != ("bias",)
        ]
        trained = [place for place in places if place.adapter == copies[0]]
        return trained, f"read from {shown(copies[0])}, the copy that PEFT trains"

    def _generators(self, places: list[Place]) -> dict[tuple[tuple[str, ...], Generator], dict[str, str]]:
        """Modules whose kernels are generated, each with the keys of its tensors."""
        by_tail = {place.tail: place.key for place in places}
        return {
            (module, generator): {part: by_tail[(*module, *part.split("."))] for part in generator.tensors}
            for module, generator in find_generators(by_tail)
        }

    def _is_saved_bank(self, place: Place) -> bool:
        """Whether a tensor is what a training run keeps of kernels that no tensor holds."""
        info = self._store.infos[place.key]
        named = len(place.tail) > 1 and place.tail[-1] == "kernels"
        return named and not info.unreadable and len(info.shape) == 2 and 0 not in info.shape

    def _read_generated(
        self, module: tuple[str, ...], generator: Generator, sources: Mapping[str, str], block: str
    ) -> None:
        key = sources[generator.key]
        try:
            kernels = generator.make(self._store, sources, self._config)
        except ValueError as wrong:
            self.skipped.append(Skipped(join(self.name, *module), str(wrong)))
            return
        dtype, layer = self._store.infos[key].dtype, join(block, *module)
        self.layers += [
            ToeplitzLayer(layer, head, kernel, dtype, key, generator.layout, generator.note)
            for head, kernel in enumerate(kernels)
        ]

    def _add_bank(self, place: Place) -> None:
        dtype, layer = self._store.infos[place.key].dtype, join(place.block, *place.tail[:-1])
        self.layers += [
            ToeplitzLayer(layer, head, kernel, dtype, place.key, _GENERATED)
            for head, kernel in enumerate(_exact_rows(self._store, place.key))
        ]


def _as_configured(layer: ToeplitzLayer, config: Mapping[str, Any], note: str) -> ToeplitzLayer:
    """Add to a layer what only the configuration says."""
    notes = [layer.note, note]
    if config.get("mixer") == "frozen_toeplitz":
        notes.append("frozen: as it was drawn")
    normalised = _row_normalised(layer, config)
    if normalised:
        notes.append("row-normalised: the layer is D T(a), each row divided by its sum")
    return replace(layer, note="; ".join(filter(None, notes)), row_normalised=normalised)


def _row_normalised(layer: ToeplitzLayer, config: Mapping[str, Any]) -> bool | None:
    """Whether the layer is D T(a); None where it may be and the configuration does not say."""
    for key in ("row_normalised", "do_toep_mean"):
        if key in config:
            said = config[key]
            return said if isinstance(said, bool) else None
    if _is_our_own(config):  # saved without what is as it is by default
        return False
    may_be = layer.layout == "optimised heads" or layer.key.endswith("weight_raw")
    return None if may_be else False


def _is_our_own(config: Mapping[str, Any]) -> bool:
    return str(config.get("model_type", "")).startswith("tmm")


def _refuse_strangers(places: list[Place], slots: list[Slot], used: set[str]) -> None:
    """Refuse a mixer with tensors that no layout of its kernels has: what they do to it is unknown."""
    layouts = {slot.layout for slot in slots} | ({_GENERATED} if used else set())
    beside = {name for layout in layouts for name in _BESIDE.get(layout, ())}
    if not layouts:  # no kernel: every projection is that of a mixer of another kind
        beside = {"in_proj", "out_proj"}
    read = used | {slot.place.key for slot in slots}
    strangers = [
        place
        for place in places
        if place.key not in read
        and (not place.tail or (place.tail[-1] not in _HARMLESS and place.tail[0] not in beside))
    ]
    if not strangers:
        return
    reason = reason_for(".".join(place.tail) for place in strangers)
    if layouts:
        beside_them = f"beside its kernel are tensors that change what it does ({_listed(strangers)})"
        raise _NoKernel(f"{beside_them}; {reason or 'no layout that is read has them'}")
    raise _NoKernel(reason or _other_kind(places))


def _refuse_mixture(slots: list[Slot]) -> None:
    """Refuse kernels of several layouts in one mixer, and pairs that are none."""
    kinds = {(slot.layout, slot.place.tail[-1]) for slot in slots}
    if len(kinds) > 1:
        listed = ", ".join(sorted(f"{layout} ({leaf})" for layout, leaf in kinds))
        raise _NoKernel(f"kernels of several layouts, {listed}: which of them it uses is unknown")
    if not any(slot.part is not None for slot in slots):
        return
    parts = Counter(slot.head for slot in slots)
    if set(parts.values()) != {2} or len({slot.part for slot in slots}) != 2:
        raise _NoKernel(
            f"{len(slots)} numbered weights, where an expanded mixer has two (for each head): another kind"
        )


def _other_kind(places: list[Place]) -> str:
    tails = {place.tail for place in places if place.tail[-1:] != ("bias",)}
    if tails == _ATTENTION:
        return "attention, or linear attention: what multiplies the past depends on the input, no kernel does"
    return "a token mixer of another kind: its tensors are " + _listed(places)


def _listed(places: list[Place]) -> str:
    tails = sorted(shown(".".join(p.tail) or "(itself)", 60) for p in places)
    return ", ".join(tails[:6]) + (f" and {len(tails) - 6} more" if len(tails) > 6 else "")


def _misfit(slot: Slot, infos: Mapping[tuple[str, ...], TensorInfo]) -> str:
    """Say why a tensor at the place of a kernel is none, by its shape and its bias's; or nothing."""
    shape = infos[slot.place.tail].shape
    bias = infos.get((*slot.place.tail[:-1], "bias"))
    if len(shape) not in (1, 2):
        return f"a Toeplitz kernel has shape (n,) or (rows, n), not {shape}"
    if 0 in shape:
        return f"shape {shape} holds no taps"
    single = slot.head is not None or slot.part is not None
    if single and (len(shape) == 1 or shape[0] > 1):
        kind = "a scale" if len(shape) == 1 else "a dense layer"
        return f"shape {shape} where one kernel (1, n) belongs: {kind}, not Toeplitz"
    rows, n = (1, *shape)[-2:]
    if rows == n > 1 and (bias is None or bias.shape == (n,)):
        return f"a dense ({n}, {n}) token mixer, not Toeplitz"
    if bias is not None and not bias.unreadable:
        if bias.shape == (rows, n) or (bias.shape == (n,) and rows < max(n, 2)):
            return ""
        return f"shape {shape} with a bias of shape {bias.shape}: a dense layer, not Toeplitz"
    if rows > n:
        return f"shape {shape} has more rows than taps: a dense layer, not Toeplitz"
    return ""


def _read_slots(store: TensorStore, slots: list[Slot]) -> Iterator[ToeplitzLayer]:
    parts = sorted({slot.part for slot in slots if slot.part is not None})
    named = dict(zip(parts, ("first", "second"), strict=False))
    for slot in sorted(slots, key=lambda s: (s.part or 0, s.head or 0)):
        part = "" if slot.part is None else named[slot.part]
        layer = join(slot.place.block, part) or slot.place.mixer
        yield from _read_slot(store, slot, layer)


def _read_slot(store: TensorStore, slot: Slot, layer: str) -> Iterator[ToeplitzLayer]:
    """Read the kernels of one tensor: one, or one per head or tap."""
    key = slot.place.key
    info = store.infos[key]
    rows = _exact_rows(store, key)
    layout, many = slot.layout, False
    if slot.head is None and slot.part is None:
        many = len(rows) > 1 or layout == "parallel heads"
        if layout == "early" and (many or slot.place.tail[-1] == "weight_raw"):
            layout, many = "optimised heads", len(info.shape) == 2
        elif layout == "flat" and many:
            layout = "channel kernel"
    softplus = slot.place.tail[-1] == "weight_raw"
    if softplus and is_scaled(info.dtype):
        raise _NoKernel(f"its kernel is a softplus of values stored as {info.dtype}, without their scale")
    for row, stored in enumerate(rows):
        notes = ["kernel = softplus(weight_raw)"] if softplus else []
        notes += notes_on(stored, info.dtype, softplus)
        if layout == "channel kernel":
            notes.insert(0, f"one of k={len(rows)} taps over channels, the last on the diagonal")
        kernel = softplus_of(stored) if softplus else stored
        head = row if many else slot.head
        yield ToeplitzLayer(layer, head, kernel, info.dtype, key, layout, "; ".join(notes))


def _exact_rows(store: TensorStore, key: str) -> np.ndarray:
    """Return the rows of a tensor, whose values float64 must hold exactly."""
    rows = store.values(key).reshape(-1, store.infos[key].shape[-1])
    if is_rounded(rows, store.infos[key].dtype):
        raise _NoKernel("it holds integers of 2**53 and more, which float64 would round")
    return rows


# The layouts that are linear maps of the whole stream: their input projection, by head or for all heads.
_INPUT_PROJECTIONS = {"heads": "proj_head", "parallel heads": "in_proj", "optimised heads": "inp_proj"}


def _with_projections(
    store: TensorStore, places: list[Place], layers: list[ToeplitzLayer]
) -> list[ToeplitzLayer]:
    """Add to each head its rows of the input projection and its columns of the output projection."""
    first = _INPUT_PROJECTIONS.get(layers[0].layout) if layers else None
    if first is None or [layer.head for layer in layers] != list(range(len(layers))):
        return layers
    heads = len(layers)
    tails = [(first, str(h), "weight") for h in range(heads)] if first == "proj_head" else [(first, "weight")]
    keys = {place.tail: place.key for place in places if place.tail[-1:] != ("bias",)}
    projections = {tail for tail in keys if tail[0] in (first, "out_proj")}
    if projections != {*tails, ("out_proj", "weight")}:
        return layers  # none, not all, or adapted ones
    infos = [store.infos[keys[tail]] for tail in projections]
    if any(info.unreadable or len(info.shape) != 2 or is_scaled(info.dtype) for info in infos):
        return layers
    w_out = store.values(keys["out_proj", "weight"])
    parts = [store.values(keys[tail]) for tail in tails]
    d = len(w_out)
    shape = (d // heads if first == "proj_head" else d, d)
    if w_out.shape != (d, d) or d % heads or any(part.shape != shape for part in parts):
        return layers
    w_in = np.concatenate(parts).reshape(heads, d // heads, d)
    columns = w_out.reshape(d, heads, d // heads)
    return [replace(layer, w_in=w_in[h], w_out=columns[:, h]) for h, layer in enumerate(layers)]


def softplus_of(x: np.ndarray) -> np.ndarray:
    """log(1 + exp(x)) without overflow.

    torch returns x itself above 20, where the two differ by less than exp(-20) = 2.1e-9.
    """
    with np.errstate(invalid="ignore"):
        return np.logaddexp(0.0, x)


def notes_on(stored: np.ndarray, dtype: str, softplus: bool) -> Iterator[str]:
    if is_scaled(dtype) or "int" in dtype:
        yield f"stored as {dtype}: values taken as they are, without a scale"
    finite = np.isfinite(stored)
    if not finite.all():
        yield f"{int(np.isnan(stored).sum())} nan and {int(np.isinf(stored).sum())} inf of {len(stored)} taps"
    elif not softplus and not stored.any():
        yield "all taps are zero"
    elif not softplus and stored[0] == 0.0:
        yield "w[0] = 0: the layer begins with a delay"
