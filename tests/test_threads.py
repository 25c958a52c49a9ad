"""One thread for small matrices: the limit holds inside the block only, whatever happens there."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from toeplitz_theory.threads import one_thread


def blas_threads() -> set[int]:
    np.ones((2, 2)) @ np.ones(2)
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("this BLAS does not take two threads")
        yield


def test_limit_holds_inside_and_ends_with_the_outermost_block():
    with one_thread():
        with one_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_settings_come_back_after_an_error():
    with pytest.raises(ZeroDivisionError), one_thread():
        1 / 0  # noqa: B018
    assert blas_threads() == {2}


def test_a_block_in_another_thread_leaves_this_ones_limit_alone():
    def other():
        with one_thread():
            np.ones((2, 2)) @ np.ones(2)

    thread = threading.Thread(target=other)
    with one_thread():
        thread.start()
        thread.join()
        assert blas_threads() == {1}
    assert blas_threads() == {2}
