"""What `inspect` costs on a busy machine: CPU with the threads of the defaults, against one thread.

Beside endless loops the threads of a linear algebra library spin while they wait for a core. The command
limits them itself where matrices are small, so both rows cost the same; the ratio shall stay below 1.5.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cost(command, environment):
    """Seconds of the clock and of all processors."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loops", type=int, default=5, help="endless loops beside")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--n", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each; the median counts")
    options = parser.parse_args()
    free = {name: value for name, value in os.environ.items() if name not in LIMITS}
    settings = {"one thread": free | dict.fromkeys(LIMITS, "1"), "default threads": free}
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.loops)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.safetensors")
            kernels = (
                np.random.default_rng(0).standard_normal((options.layers, 1, options.n)) / options.n**0.5
            )
            names = [f"mixer_blocks.{k}.token_mixing_layer.weight" for k in range(options.layers)]
            save_file(dict(zip(names, kernels.astype(np.float32), strict=True)), path)
            command = [sys.executable, "-m", "toeplitz_theory", "inspect", str(path)]
            costs = {name: [] for name in settings}
            for _ in range(options.rounds):
                for name, environment in settings.items():
                    costs[name].append(cost(command, environment))
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    print(f"{options.layers} layers, n = {options.n}, beside {options.loops} loops on {os.cpu_count()} cores")
    medians = {name: np.median(values, axis=0) for name, values in costs.items()}
    for name, (wall, cpu) in medians.items():
        print(f"{name:16s} {wall:6.1f} s wall {cpu:6.1f} s CPU")
    print(f"ratio of CPU     {medians['default threads'][1] / medians['one thread'][1]:6.2f}")


if __name__ == "__main__":
    main()
