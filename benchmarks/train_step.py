"""A step of training over the same network without mixing: time, and peak memory of tensors.

Width 128, 4 layers, vocabulary 1024, batch 8, float32, one thread; forward, backward and AdamW. Ratios are
over two models (`_variants.py`): ``bare`` has no mixing sub-layer at all, so that with 4 heads it also lacks
the two projections, ordinary linear maps of 2 d^2 weights; ``unmixed`` keeps norm, residual and projections,
and lacks the product alone. ``copied`` has all of a mixer but a copy in place of its product.

Floors, per token and step. Arithmetic: bare 3 (4 * 8 d^2 + V d) = 2.0 M multiply-adds (d = 128, V = 1024),
projections 3 * 4 * 2 d^2 = 0.39 M more. Product: dense triangle 3 * 4 d (n + 1) / 2 multiply-adds, that is
0.20 M at n = 256 (10 % of bare), 0.39 M at 512, 3.1 M at 4096; by real FFTs of length 2n (2.5 * 2n log2(2n)
operations each, 5 a channel and layer: x, y; x, g, dx) 0.12 M operations at n = 256, 0.17 M at 4096, but FFTs
run at a small part of the rate of matrix products. Bytes of the product: read x; write y; read x, g; write
dx: 20 bytes an element, 10 KB a token of 4 layers, 1 us at 10 GB/s, where bare takes 50 us.
Memory kept for the backward pass, in units of one activation (4 d bytes a token): bare 10 a layer (input and
output of norm, 4 d before and after the activation), 8 logits and 8 of their softmax, 16 more at the peak:
about 72; a mixing sub-layer adds its norm's input and output, or its input alone when the norm is made again.

Times are CPU time of the one thread; the contenders take turns step by step, and a ratio is the median over
the turns of the ratio within one turn. Memory is counted in a fresh process for each model: the peak of what
torch's allocator holds during the second step (parameters, gradients and optimiser state included), and the
growth of the resident set since before the model was made, with oneDNN's cache of shapes off; at small n what
the imports had freed hides that growth.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys

import torch
from _common import over, turns
from _variants import BATCH, Stepper

LENGTHS = (256, 512, 1024, 2048, 4096)
FLOORS = ("bare", "unmixed")


def print_times(names: list[str], n: int, heads: int, rounds: int) -> None:
    """Print milliseconds and ratios of one length and head count."""
    times = turns({name: Stepper(name, n, heads) for name in names}, rounds)
    for name in names:
        ratios = [over(times, name, floor) for floor in FLOORS]
        print(
            f"{n:6d} {heads:6d} {name:>10} {min(times[name]):9.1f} {statistics.median(times[name]):10.1f} "
            f"{ratios[0]:10.3f} {ratios[1]:13.3f}",
            flush=True,
        )


def peak_bytes(name: str, n: int, heads: int) -> tuple[int, int]:
    """Return peak bytes of tensors in one step, and of the resident set beyond that before the model."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = Stepper(name, n, heads)
    step()
    resident = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    held = sum(
        p.numel() * p.element_size() * 4 for p in step.model.parameters()
    )  # with gradient, two moments
    step.optimiser.zero_grad(set_to_none=True)
    held -= held // 4
    return held + _peak_of(step), resident


def _peak_of(step: Stepper) -> int:
    activity = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activity, profile_memory=True) as profile:
        step()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def print_memory(names: list[str], n: int, heads: int) -> None:
    """Print the peaks of one length and head count, each from a process of its own."""
    peaks = {}
    for name in names:
        command = [sys.executable, __file__, "--peak", name, "--lengths", str(n), "--heads", str(heads)]
        environment = os.environ | {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0"}
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        peaks[name] = [int(word) for word in answer.stdout.split()[-2:]]
    for name, (tensors, resident) in peaks.items():
        ratios = [tensors / peaks[floor][0] for floor in FLOORS]
        print(
            f"{n:6d} {heads:6d} {name:>10} {tensors / 2**20:9.1f} {tensors / (BATCH * n) / 1024:10.1f} "
            f"{ratios[0]:10.3f} {ratios[1]:13.3f} {resident / 2**20:10.1f}",
            flush=True,
        )


def main() -> None:
    """Print both tables, or what the options leave of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--heads", type=int, nargs="+", default=(1, 4))
    parser.add_argument("--models", nargs="+", default=["auto", "published", "llama"])
    parser.add_argument(
        "--rounds", type=int, default=0, help="turns of each length; by default fewer when long"
    )
    parser.add_argument("--only", choices=("time", "memory"))
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        print(*peak_bytes(options.peak, options.lengths[0], options.heads[0]))
        return
    names = [*FLOORS, *options.models]
    cases = [(n, heads) for n in options.lengths for heads in options.heads]
    if options.only != "memory":
        print(f"{'n':>6} {'heads':>6} {'model':>10} {'min ms':>9} {'median ms':>10} ", end="")
        print(f"{'over bare':>10} {'over unmixed':>13}")
        for n, heads in cases:
            print_times(names, n, heads, options.rounds or max(5, 15_000 // n))
    if options.only != "time":
        print(
            f"{'n':>6} {'heads':>6} {'model':>10} {'peak MiB':>9} {'KiB/token':>10} {'over bare':>10} ",
            end="",
        )
        print(f"{'over unmixed':>12} {'RSS MiB':>10}")
        for n, heads in cases:
            print_memory(names, n, heads)


if __name__ == "__main__":
    main()
