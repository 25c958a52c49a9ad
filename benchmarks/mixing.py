"""Dense or FFT: where the two ways to multiply by causal Toeplitz matrices cross over.

Forward and backward of the product alone, batch 16, 128 channels, one thread. Floors per step, with M = 2048
columns of length t: the dense path does 3 t^2 M multiply-adds (y, dx, dw), the FFT about 6 M transforms of
length 2t, 2.5 * 2t log2(2t) operations each; either must read or write 5 M t float32 numbers.
"""

import statistics
import time

import torch

from toeplitz_theory.tmm import causal_toeplitz_product


def step_ms(t: int, heads: int, method: str, repeats: int = 7) -> float:
    """Return the median milliseconds of one forward and backward pass."""
    x = torch.randn(16, t, heads, 128 // heads, requires_grad=True)
    kernels = torch.randn(heads, t, requires_grad=True)
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        causal_toeplitz_product(x, kernels, method).sum().backward()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times[1:])


def main() -> None:
    """Print one row per length and head count."""
    torch.set_num_threads(1)
    print(f"{'t':>6} {'heads':>6} {'dense ms':>9} {'fft ms':>9} {'dense/fft':>9}")
    for t in (128, 256, 512, 1024, 2048):
        for heads in (1, 4):
            dense, fft = step_ms(t, heads, "dense"), step_ms(t, heads, "fft")
            print(f"{t:6d} {heads:6d} {dense:9.1f} {fft:9.1f} {dense / fft:9.2f}")


if __name__ == "__main__":
    main()
