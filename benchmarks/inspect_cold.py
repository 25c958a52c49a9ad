"""What a user waits for: ``toeplitz-theory inspect`` on 16 layers of n = 512, in fresh processes.

    python benchmarks/inspect_cold.py

Floors, for 16 float32 layers of n = 512 with their biases (64 KiB of weights) and a table:

- Bytes: reading and hashing the file is microseconds. What is resident is the interpreter and its libraries:
  about 10 MB for Python, 25 with NumPy, 55 with SciPy's transforms and linear algebra.
- Arithmetic: per layer a few transforms of 8n to 32n points (5 N log2 N, below 10 Mflop in all), the values
  of one dense n x n decomposition for the nullity (8/3 n**3, 0.36 Gflop), some tens of products with T and
  its inverse. 16 layers are about 6 Gflop, a second or so of one core at the rate of such small matrices,
  and nearly all of what is left after the imports.
- Imports: NumPy 0.15 s, SciPy 0.4 s, python-flint 0.1 s, Typer and Rich 0.15 s. pandas (0.6 s), matplotlib
  (0.9 s) and torch (1.4 s and more) must not appear.

Target: below 3 s, below 400 MB, and torch never imported.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

LAYERS, N, RUNS = 16, 512, 5
_CHILD = (
    "import sys; from toeplitz_theory.cli import run; code = run(sys.argv[1:]); "
    "heavy = sorted({'torch', 'transformers', 'pandas', 'matplotlib'} & set(sys.modules)); "
    "print(heavy, file=sys.stderr); sys.exit(code)"
)


def build(path: Path, decaying: bool) -> None:
    """Write a checkpoint of kaiming-normal kernels, or of kernels that decay as trained ones do."""
    rng = np.random.default_rng(0)
    tensors = {}
    for layer in range(LAYERS):
        kernel = rng.standard_normal(N) * np.sqrt(2 / N)
        if decaying:
            kernel /= 1 + np.arange(N)
            kernel[0] += 0.5
        prefix = f"mixer_blocks.{layer}.token_mixing_layer"
        tensors[f"{prefix}.weight"] = kernel.astype(np.float32)[None]
        tensors[f"{prefix}.bias"] = np.zeros(N, dtype=np.float32)
    save_file(tensors, path)


def measure(command: list[str]) -> tuple[float, float, float, str]:
    """Wall and CPU seconds, peak resident MB and the last line on stderr of one fresh process."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    complaints = child.stderr.read()
    # wait4 gives this child's own peak; RUSAGE_CHILDREN keeps the largest of all children so far.
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {child.returncode}:\n{complaints}")
    scale = 1 if sys.platform == "darwin" else 1024
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale / 1e6, complaints.splitlines()[-1]


def main() -> None:
    """Print the table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    print(
        f"{LAYERS} layers, n = {N}, one thread, medians of {RUNS} fresh processes; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'checkpoint':<16}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}  heavy imports")
    with tempfile.TemporaryDirectory() as folder:
        for name, decaying in (("kaiming", False), ("decaying", True)):
            path = Path(folder) / f"{name}.safetensors"
            build(path, decaying)
            runs = [measure([sys.executable, "-c", _CHILD, "inspect", str(path)]) for _ in range(RUNS)]
            wall, cpu, peak = (statistics.median(run[k] for run in runs) for k in range(3))
            print(f"{name:<16}{wall:>8.2f}{cpu:>8.2f}{peak:>9.0f}  {runs[0][3]}")
    runs = [measure([sys.executable, "-c", _CHILD, "--version"]) for _ in range(RUNS)]
    wall, cpu, peak = (statistics.median(run[k] for run in runs) for k in range(3))
    print(f"{'--version':<16}{wall:>8.2f}{cpu:>8.2f}{peak:>9.0f}  {runs[0][3]}")


if __name__ == "__main__":
    main()
