"""Timing of the ways to multiply on the CPU, forward and backward, on inputs of one shape."""

import platform
import time
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import torch

# A way has to be so much faster than the default to replace it: timings scatter, and choices should not.
CLEARLY = 0.9


@lru_cache(maxsize=1)
def machine() -> str:
    """Return what timings depend on: the processor and torch's version."""
    return f"{platform.machine()} {_processor()}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


@torch.no_grad()
def faster_way(
    ways: dict[str, ModuleType],
    default: str,
    dtype: torch.dtype,
    shape: tuple[int, int, int, int],
    repeat: int = 4,
) -> tuple[str, dict[str, float]]:
    """Return the fastest way by name, and the least milliseconds of each; close calls go to the default."""
    batch, t, heads, channels = shape
    # Smooth numbers in place of random ones: nothing here may move the user's random generators.
    x = torch.linspace(-1, 1, batch * t * heads * channels, dtype=dtype).view(batch, t, -1)
    w = torch.linspace(-1, 1, heads * t, dtype=dtype).view(heads, t)
    least: dict[str, float] = {}
    with torch.autocast("cpu", enabled=False):
        for turn in range(repeat):
            for name, way in ways.items():
                # One turn warms up, and shows which ways are out of the question.
                if turn > 1 and least[name] > 3 * min(least.values()):
                    continue
                seconds = _seconds(way, x, w, dtype)
                least[name] = min(seconds, least.get(name, seconds) if turn > 1 else seconds)
    best = min(least, key=least.__getitem__)
    method = best if least[best] < CLEARLY * least[default] else default
    return method, {name: round(1e3 * seconds, 3) for name, seconds in least.items()}


def _seconds(way: ModuleType, x: torch.Tensor, w: torch.Tensor, dtype: torch.dtype) -> float:
    # On one thread the processor's own time, which other load on the machine enters less.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    way.gradients(way.multiply(x, w, dtype), x, w, dtype)
    return clock() - begin
