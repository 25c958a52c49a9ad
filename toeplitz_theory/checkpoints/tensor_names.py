"""Names of tensors, taken apart: their block, their token mixer, and which kernel of it they are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_WRAPPERS_ANYWHERE = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_WRAPPERS_IN_FRONT = {"model", "base_model"}
ORIGINAL = "original_module"  # of PEFT, beside the copies that it trains
_STACKS = {"mixer_blocks", "encoderblocks", "decoderblocks", "blocks"}
_NUMBER = re.compile(r"[0-9]{1,9}")
_LEAVES = {"weight", "weight_raw"}


@dataclass(frozen=True)
class Place:
    """Where a tensor of a token mixer sits; `adapter` is the copy of the mixer it belongs to, if any."""

    key: str
    block: str
    mixer: str
    tail: tuple[str, ...]
    adapter: str = ""


@dataclass(frozen=True)
class Slot:
    """The place of a kernel; `part` is its number inside an expanded mixer."""

    place: Place
    layout: str
    head: int | None
    part: int | None


def by_mixer(names: Iterable[str]) -> dict[tuple[str, str], list[Place]]:
    """Gather the tensors of each token mixer; keep wrappers in the names where two would fall together."""
    names = list(names)
    for strip in (True, False):
        groups: dict[tuple[str, str], list[Place]] = defaultdict(list)
        for name in names:
            place = _place(name, strip)
            if place is not None:
                groups[place.block, place.mixer].append(place)
        if all(len({(p.tail, p.adapter) for p in group}) == len(group) for group in groups.values()):
            break
    return groups


def _place(key: str, strip: bool) -> Place | None:
    if "mix" not in key:  # most tensors of most models
        return None
    adapter, segments = _adapter(key.split("."))
    if strip:
        segments = [s for s in segments if s not in _WRAPPERS_ANYWHERE]
        while segments and segments[0] in _WRAPPERS_IN_FRONT:
            segments = segments[1:]
    for at, segment in enumerate(segments):
        after_a_stack = at >= 2 and segments[at - 2] in _STACKS and _is_number(segments[at - 1])
        if segment == "token_mixing_layer" or (segment == "mixer" and after_a_stack):
            return Place(key, ".".join(segments[:at]), segment, tuple(segments[at + 1 :]), adapter)
    return None


def _adapter(segments: list[str]) -> tuple[str, list[str]]:
    """Take off what PEFT adds to the names of a module that it trains whole (modules_to_save)."""
    for at, segment in enumerate(segments):
        if segment == ORIGINAL:
            return ORIGINAL, segments[:at] + segments[at + 1 :]
        if segment == "modules_to_save" and at + 1 < len(segments):
            return f"{segment}.{segments[at + 1]}", segments[:at] + segments[at + 2 :]
    return "", segments


def _is_number(segment: str) -> bool:
    return _NUMBER.fullmatch(segment) is not None


def join(*segments: str) -> str:
    return ".".join(s for s in segments if s)


def reading_order(name: str) -> tuple[object, ...]:
    """Encoder first, decoder last; numbers by size, so that block 2 comes before block 10."""
    segments = name.split(".")
    rank = 1
    if any(s.startswith("decoder") for s in segments):
        rank = 2
    elif any(s.startswith("encoder") for s in segments):
        rank = 0
    return (rank, *((0, int(s), "") if _is_number(s) else (1, 0, s) for s in segments))


def slots_of(place: Place) -> Iterator[Slot]:
    """Yield the slot that the tail of a tensor name says; nothing when it is not that of a kernel."""
    tail = place.tail
    if not tail or tail[-1] not in _LEAVES:
        return
    match [*tail[:-1]]:
        case []:
            yield Slot(place, "flat" if place.mixer == "token_mixing_layer" else "early", None, None)
        case ["mixer_heads"]:
            yield Slot(place, "parallel heads", None, None)
        case ["mixer_heads", h] if _is_number(h):
            yield Slot(place, "heads", int(h), None)
        case ["mixer_heads", h, j] if _is_number(h) and _is_number(j):
            yield Slot(place, "expanded heads", int(h), int(j))
        case [j] if _is_number(j):
            yield Slot(place, "expanded", None, int(j))
