"""Dense, FFT or blocks: where the ways to multiply by causal Toeplitz matrices cross over.

Forward and backward of the product alone, batch 8, 128 channels, one thread, float32. Floors per step, with
M = 1024 columns of length t: a dense triangle takes 1.5 t^2 M multiply-adds (y, dx, dw); the FFT 5 M
transforms of length 2t, 2.5 * 2t log2(2t) operations each; blocks of length b through a transform of radices
r_1, r_2, ... (5 (2 r_1 + 4 r_2 + ...) + 12 b) t M multiply-adds, 352 t M at t = 256, 592 t M at 4096.
All must read or write 5 M t float32 numbers (x; y; g, x; dx).

Times are CPU time; the ways take turns, and each gives its least. ``auto`` is what would be chosen here.
"""

import time

import torch

from toeplitz_theory.tmm import causal_toeplitz_product
from toeplitz_theory.tmm.products import chosen_method

WAYS = ("dense", "fft", "blocked")


def least_ms(t: int, heads: int, ways: list[str], turns: int = 7) -> dict[str, float]:
    """Return the least milliseconds of one forward and backward pass for each way."""
    x = torch.randn(8, t, heads, 128 // heads, requires_grad=True)
    kernels = torch.randn(heads, t, requires_grad=True)
    g = torch.randn(x.shape)
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(turns):
        for way in ways:
            begin = time.process_time()
            torch.autograd.grad(causal_toeplitz_product(x, kernels, way), (x, kernels), g)
            least[way] = min(least[way], 1e3 * (time.process_time() - begin))
    return least


def main() -> None:
    """Print one row per length and head count."""
    torch.set_num_threads(1)
    print(f"{'t':>6} {'heads':>6}" + "".join(f" {way + ' ms':>11}" for way in WAYS) + "  auto")
    for t in (32, 64, 128, 256, 512, 1024, 2048, 4096, 16_384):
        for heads in (1, 4):
            ways = [way for way in WAYS if way != "dense" or t <= 1024]
            least = least_ms(t, heads, ways)
            times = "".join(f" {least[way]:11.2f}" if way in least else f" {'':>11}" for way in WAYS)
            auto = chosen_method("auto", torch.empty(8, t, 128), torch.empty(heads, t))
            print(f"{t:6d} {heads:6d}{times}  {auto}")


if __name__ == "__main__":
    main()
