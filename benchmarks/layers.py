"""Certified index of I + A for whole layers of a shipped model: heads, projections and residual connection.

Run as ``python benchmarks/layers.py [--model NAME]``, with ``OMP_NUM_THREADS=1``. d = 128 channels, 16 heads,
n = 256 taps: the determinant is a polynomial of degree 32,640.

Floors:

- arcs: with X = F^-1 F' at an angle, F = I + A, an arc on which F is nearly linear reaches to the nearest
  zero, 1 / (spectral radius of X). That makes 750 to 2,100 arcs on half the circle, of layers 0 to 3, if
  every zero within reach ends the arc. The arcs here pass them by: 670 to 1,460.
- arithmetic: an inverse, 8 to 10 products and two factorisations an arc, about 60 d^3 complex operations, 0.5
  Gflop: 5 ms at 100 Gflop/s, so 3 to 7 s in all.
- memory: some forty d x d complex matrices, 10 MB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _common import timed

from toeplitz_theory.checkpoints import load

MODELS = Path(__file__).resolve().parents[1] / "models"


def main() -> None:
    """Print index, arcs and CPU time of every layer; all must be certified."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tmm-next-token", help="a folder of models/")
    checkpoint = load(MODELS / parser.parse_args().model, projections=True)
    for name in dict.fromkeys(layer.layer for layer in checkpoint.layers):
        symbol = checkpoint.multihead(name)
        index, seconds = timed(symbol.residual_index)
        assert index.certified, index
        print(f"{name}: {seconds:.1f} s; index of I + A {index.value}, {index.method}", flush=True)


if __name__ == "__main__":
    main()
