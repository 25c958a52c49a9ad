import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toeplitz_theory as tt


@pytest.fixture(scope="session")
def awkward_report():
    from report_builders import awkward

    return tt.inspect(awkward())
