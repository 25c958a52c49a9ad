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
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from toeplitz_theory.operators import MultiHeadSymbol

MODELS = Path(__file__).resolve().parents[1] / "models"


def layers(model: str) -> list[MultiHeadSymbol]:
    """Return the token-mixing layers of a shipped model with heads."""
    tensors = load_file(MODELS / model / "model.safetensors")
    prefixes = sorted({name.split("mixer_heads.")[0] for name in tensors if ".mixer_heads." in name})
    found = []
    for prefix in prefixes:
        heads = sum(name.startswith(f"{prefix}mixer_heads.") and name.endswith("weight") for name in tensors)
        kernels = np.stack([tensors[f"{prefix}mixer_heads.{h}.weight"][0] for h in range(heads)])
        w_in = np.concatenate([tensors[f"{prefix}proj_head.{h}.weight"] for h in range(heads)])
        found.append(MultiHeadSymbol(kernels, w_in, tensors[f"{prefix}out_proj.weight"]))
    return found


def main() -> None:
    """Print index, arcs and CPU time of every layer; all must be certified."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tmm-next-token", help="a folder of models/")
    for number, layer in enumerate(layers(parser.parse_args().model)):
        start = time.process_time()
        found = layer.residual_index()
        seconds = time.process_time() - start
        assert found.certified, found
        print(f"layer {number}: {seconds:.1f} s; index of I + A {found.value}, {found.method}", flush=True)


if __name__ == "__main__":
    main()
