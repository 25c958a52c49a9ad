"""Dense, FFT or blocks: where the ways to multiply by causal Toeplitz matrices cross over.

Forward and backward of the product alone, batch 8, 128 channels, one thread, float32. Floors per step, with
M = 1024 columns of length t: a dense triangle takes 1.5 t^2 M multiply-adds (y, dx, dw); the FFT 5 M
transforms of length 2t, 2.5 * 2t log2(2t) operations each; blocks of length b through a transform of radices
r_1, r_2, ... (5 (2 r_1 + 4 r_2 + ...) + 12 b) t M multiply-adds, 352 t M at t = 256, 592 t M at 4096.
All must read or write 5 M t float32 numbers (x; y; g, x; dx).

Times are CPU time; the ways take turns, and each gives its least. ``auto`` is what the table takes. With
``--grid`` the table is held against the fastest way for many lengths, channels and heads (2 minutes): every
case where it takes more than 1.25 times as long.
"""

import argparse
import math
import time

import torch

from toeplitz_theory.tmm import causal_toeplitz_product
from toeplitz_theory.tmm.products import way_by_table

WAYS = ("dense", "fft", "blocked")
LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096)
NUMBERS = 2**20  # of a sample's batch in the grid, at most: fewer samples where one is large


def least_ms(batch: int, t: int, heads: int, channels: int, turns: int = 7) -> dict[str, float]:
    """Return the least milliseconds of one forward and backward pass for each way."""
    x = torch.randn(batch, t, heads, channels, requires_grad=True)
    kernels = torch.randn(heads, t, requires_grad=True)
    g = torch.randn(x.shape)
    least: dict[str, float] = {}
    for turn in range(turns):
        for way in WAYS:
            hopeless = turn > 1 and least.get(way, 0) > 3 * min(least.values())
            if hopeless or (way == "dense" and t > 1024):
                continue
            begin = time.process_time()
            torch.autograd.grad(causal_toeplitz_product(x, kernels, way), (x, kernels), g)
            took = 1e3 * (time.process_time() - begin)
            least[way] = min(took, least[way]) if turn > 1 else took  # the first turn warms up
    return least


def show_lengths() -> None:
    """Print one row per length and head count."""
    print(f"{'t':>6} {'heads':>6}" + "".join(f" {way + ' ms':>11}" for way in WAYS) + "  auto")
    for t in (32, 64, 128, 256, 512, 1024, 2048, 4096, 16_384):
        for heads in (1, 4):
            least = least_ms(8, t, heads, 128 // heads)
            times = "".join(f" {least[way]:11.2f}" if way in least else f" {'':>11}" for way in WAYS)
            print(f"{t:6d} {heads:6d}{times}  {way_by_table('cpu', t, 128 // heads)}")


def show_grid(batch: int) -> None:
    """Print where the table loses, and its mean loss."""
    ratios = []
    for heads in (1, 4, 16):
        for channels in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            for t in LENGTHS:
                samples = min(batch, NUMBERS // (t * heads * channels))
                if samples == 0:
                    continue
                least = least_ms(samples, t, heads, channels)
                way, best = way_by_table("cpu", t, channels), min(least, key=least.__getitem__)
                ratios.append(least[way] / least[best])
                if ratios[-1] > 1.25:
                    print(
                        f"t = {t}, {heads} heads of {channels} channels, batch {samples}: {way} takes "
                        f"{least[way]:.2f} ms, {ratios[-1]:.2f} times {best}",
                        flush=True,
                    )
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"{len(ratios)} cases: {mean:.3f} times the fastest in the mean, {max(ratios):.2f} at most")


def main() -> None:
    """Print the lengths or the grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", action="store_true", help="hold the table against the fastest way")
    parser.add_argument("--batch", type=int, default=8, help="samples in the grid")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.grid:
        show_grid(options.batch)
    else:
        show_lengths()


if __name__ == "__main__":
    main()
