"""Settings every test shares."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

# Run in the background of a shell, the tests and their children would ignore Ctrl-C, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines that run tests are shared and slow at times: a deadline would measure them, not the code.
# Continuous integration repeats its examples, so that a red run can be repeated; elsewhere each run explores.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def one_thread():
    """Keep torch to one thread where a test has loaded it: with other load two are often slower."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
