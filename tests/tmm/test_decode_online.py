"""The online product against scipy's Toeplitz matrix, closed forms, and its own promises of flat cost."""

import copy

import pytest
import scipy.linalg
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from toeplitz_theory.tmm.cache import blocks_for
from toeplitz_theory.tmm.online import CROP_ROOM, OnlineConvolution
from toeplitz_theory.tmm.online_levels import Blocks, InputStore, Level, cut

# None, and every kind of cut: several FFT levels, one, none within reach, odd ratios, one slice or many.
CUTS = [None, Blocks(2, 4, 2, 1), Blocks(2, 8, 3, 2), Blocks(1, 2, 2, 3), Blocks(4, 12, 2, 100), Blocks()]


def written_out(x, kernels):
    """Apply scipy's lower triangular Toeplitz matrix head by head, in float64; zeros follow the last tap."""
    t = x.shape[1]
    y = torch.empty(x.shape, dtype=torch.float64)
    for head in range(x.shape[2]):
        column = torch.zeros(t, dtype=torch.float64)
        column[: kernels.shape[1]] = kernels[head, :t].double()
        matrix = torch.from_numpy(scipy.linalg.toeplitz(column.numpy(), [float(column[0])] + [0.0] * (t - 1)))
        y[:, :, head] = torch.einsum("ts,bsc->btc", matrix, x[:, :, head].double())
    return y


def tolerance(x, kernels, dtype):
    """Rounding of dot products of n terms (sqrt(n) eps on average) and of FFTs (log2(2n) eps), each normwise:
    relative to ||w||_2 ||x||_2; 4 is room for the constants."""
    n = torch.tensor(2.0 * max(2, kernels.shape[1]))
    scale = kernels.double().norm(dim=1).max() * x.double().norm(dim=1).max()
    return float(4 * torch.finfo(dtype).eps * (n.sqrt() + n.log2()) * scale)


def stream_through(stream, x, sizes=()):
    """Push ``x`` in pieces of the given sizes, then one by one."""
    outputs, at = [], 0
    for size in [*sizes, *[1] * x.shape[1]]:
        if at < x.shape[1]:
            outputs.append(stream.push(x[:, at : at + size]))
            at += size
    return torch.cat(outputs, 1)


# A phase that rounds to 1 once left a slice without a step.
@example(
    shape=(1, 9, 1, 3),
    taps=6,
    blocks=Blocks(2, 4, 2, 1),
    phase=0.9999999999999998,
    sizes=[],
    dtype=torch.float32,
    seed=0,
)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 3), st.integers(1, 4)),
    taps=st.integers(1, 50),
    blocks=st.sampled_from(CUTS),
    phase=st.floats(0, 1, exclude_max=True),
    sizes=st.lists(st.integers(1, 9), max_size=12),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 2**31),
)
def test_equals_the_matrix(shape, taps, blocks, phase, sizes, dtype, seed):
    """Any stream, in any pieces, shorter or longer than the kernel, for every way to cut time."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator).to(dtype)
    kernels = torch.randn(shape[2], taps, generator=generator)
    y = stream_through(OnlineConvolution(kernels, blocks, phase), x, sizes)
    assert y.dtype == dtype and y.shape == x.shape
    inner = torch.float64 if dtype == torch.float64 else torch.float32
    expected = written_out(x, kernels)
    # bfloat16 is widened inside and rounded once at the end.
    bound = tolerance(x, kernels, inner) + torch.finfo(dtype).eps * expected.abs()
    assert torch.all((y.double() - expected).abs() <= bound)


@pytest.mark.parametrize("blocks", [Blocks(), Blocks(32, 256, 4), Blocks(16, 128, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_impulse_gives_the_kernel_back(blocks, dtype):
    """At real sizes, with every level at work: the input one at time s, else zero, returns w[t - s]."""
    kernels = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0)).to(dtype)
    impulses = (0, 37, 1025)
    x = torch.zeros(1, 3300, 2, 3, dtype=dtype)
    expected = torch.zeros_like(x)
    for channel, s in enumerate(impulses):
        x[0, s, :, channel] = 1
        tail = min(3000, 3300 - s)
        expected[0, s : s + tail, :, channel] = kernels[:, :tail].T
    y = stream_through(OnlineConvolution(kernels, blocks, 0.3), x)
    torch.testing.assert_close(y, expected, atol=tolerance(x, kernels, dtype), rtol=0)


def test_the_plain_and_the_online_product_agree_to_rounding_at_length():
    """Float32 against float64 run through: the difference is rounding, and shrinks with the precision."""
    generator = torch.Generator().manual_seed(1)
    kernels = torch.randn(1, 4096, generator=generator) / 64
    x = torch.randn(1, 3072, 1, 4, generator=generator)
    exact = written_out(x, kernels)
    for dtype in (torch.float32, torch.float64):
        for loaded in (0, 2500):
            stream = OnlineConvolution(kernels.to(dtype), Blocks(32, 256, 4), 0.5)
            if loaded:
                stream.load(x[:, :loaded].to(dtype))
            y = stream_through(stream, x[:, loaded:].to(dtype))
            assert float((y.double() - exact[:, loaded:]).abs().max()) <= tolerance(x, kernels, dtype)


class TestCost:
    """What a step reads and computes, counted: not timed, so that a busy machine says the same."""

    @pytest.fixture
    def counts(self, monkeypatch):
        """Log of one step: columns of the past it reads itself, and what slices of levels it runs."""
        log = {"read": 0, "slices": []}
        between, run = InputStore.between, Level.run

        def counted_between(self, start, stop):
            log["read"] += stop - start
            return between(self, start, stop)

        def counted_run(self, block, part, inputs):
            before = log["read"]
            run(self, block, part, inputs)
            log["read"] = before
            log["slices"].append((self.size, torch.zeros(2, 8)[part].numel()))

        monkeypatch.setattr(InputStore, "between", counted_between)
        monkeypatch.setattr(Level, "run", counted_run)
        return log

    def steps(self, log, stream, start, count):
        """Log ``count`` steps from position ``start`` on, of 2 heads with 8 channels each."""
        stream.load(torch.randn(1, start - stream.length, 2, 8))
        found = []
        for _ in range(count):
            log.update(read=0, slices=[])
            stream.push(torch.randn(1, 1, 2, 8))
            found.append(dict(log))
        return found

    def test_the_history_grows_and_the_online_product_does_not(self, counts):
        plain = self.steps(counts, OnlineConvolution(torch.randn(2, 8192)), 4095, 4)
        # The first step makes room and reads all for that; then a step reads what came before and itself.
        assert [step["read"] for step in plain[1:]] == [4097, 4098, 4099]
        stream = OnlineConvolution(torch.randn(2, 8192), Blocks(8, 64, 4, 4), 0.4)
        assert stream.blocks.sizes(8192) == [8, 64, 256, 1024, 4096]
        for start in (512, 7000):
            reads = [step["read"] for step in self.steps(counts, stream, start, 300)]
            assert sum(read > 2 * 8 for read in reads) <= 1  # making room, at doubled lengths
            assert sorted(reads)[-2] == 2 * 8

    def test_each_level_treats_each_channel_once_a_block_and_evenly(self, counts):
        stream = OnlineConvolution(torch.randn(2, 8192), Blocks(8, 64, 4, 4), 0.4)
        steps = self.steps(counts, stream, 1024, 4096)
        for size in stream.blocks.sizes(8192):
            rows = [sum(r for s, r in step["slices"] if s == size) for step in steps]
            assert sum(rows) == 4096 // size * 16
            assert sum(rows[:size]) == 16
            assert max(rows) <= 4  # one slice a step at most
        assert max(len(step["slices"]) for step in steps) <= 5

    def test_every_block_is_transformed_once(self, monkeypatch):
        stream, rows = OnlineConvolution(torch.randn(2, 2048), Blocks(4, 16, 4, 4), 0.4), []
        stream.load(torch.randn(1, 1024, 2, 8))
        rfft = torch.fft.rfft
        monkeypatch.setattr(
            torch.fft, "rfft", lambda x, n: rows.append((n // 2, x.shape[0] * x.shape[1])) or rfft(x, n=n)
        )
        for _ in range(1024):
            stream.push(torch.randn(1, 1, 2, 8))
        for size in stream.blocks.sizes(2048)[1:]:
            assert sum(r for s, r in rows if s == size) == 1024 // size * 16

    @given(st.integers(1, 9), st.integers(1, 70), st.integers(1, 5), st.integers(1, 300), st.integers(1, 100))
    def test_slices_cover_every_row_once_and_whole_channels(self, heads, channels, batch, wanted, most):
        seen = torch.zeros(heads, channels * batch)
        parts = cut(heads, channels, batch, wanted, most)
        for part in parts:
            seen[part] += 1
            rows = part[1].indices(channels * batch)
            assert rows[0] % batch == 0 and rows[1] % batch == 0
        assert torch.all(seen == 1)
        # Never more parts than steps by a factor beyond 2: halves that do not divide, or one part per head.
        assert len(parts) <= max(2 * most, heads)


def test_a_stream_without_end_keeps_a_bounded_past():
    n, blocks = 40, Blocks(2, 8, 2, 4)
    generator = torch.Generator().manual_seed(2)
    kernels, x = torch.randn(1, n, generator=generator), torch.randn(1, 3000, 1, 2, generator=generator)
    stream = OnlineConvolution(kernels, blocks)
    y = stream_through(stream, x)
    last = torch.einsum("k,bkc->bc", kernels[0], x[:, -n:, 0].flip(1))
    torch.testing.assert_close(y[:, -1, 0], last, atol=tolerance(x[:, -n:], kernels, torch.float32), rtol=0)
    kept = stream._inputs
    assert kept._kept.shape[-1] <= 2 * (n + 3 * blocks.sizes(n)[-1] + CROP_ROOM) + 48  # whole cache lines
    assert kept.first > 2500
    with pytest.raises(ValueError, match="are gone"):
        stream.crop(100)


@pytest.mark.parametrize("blocks", [None, Blocks(2, 8, 2, 4)], ids=str)
def test_an_endless_stream_can_always_go_back_by_the_room_it_keeps(blocks):
    stream = OnlineConvolution(torch.randn(1, 40), blocks)
    for time in range(600):
        stream.push(torch.randn(1, 1, 1, 2))
        if time > 400:
            other = copy.copy(stream)
            other._inputs = copy.copy(stream._inputs)
            other.crop(stream.length - CROP_ROOM)  # raises where an input is missing
            assert other.length == time + 1 - CROP_ROOM
    assert stream._inputs.first > 100


@pytest.mark.parametrize("blocks", CUTS, ids=str)
def test_crop_goes_back_exactly(blocks):
    """After a crop the stream goes on as if the inputs cropped had never been; endless streams too."""
    generator = torch.Generator().manual_seed(3)
    kernels, x = torch.randn(2, 30, generator=generator), torch.randn(2, 400, 2, 3, generator=generator)
    wrong = torch.randn(2, 20, 2, 3, generator=generator)
    bound = tolerance(x, kernels, torch.float32)
    expected = written_out(x, kernels)
    for back in (1, 2, 7, 19):
        for length in (1, 26, 390):
            stream = OnlineConvolution(kernels, blocks)
            stream_through(stream, x[:, :length], [length // 2 + 1])
            stream_through(stream, wrong[:, :back])
            stream.crop(length)
            y = stream_through(stream, x[:, length : length + 9])
            assert float((y.double() - expected[:, length : length + 9]).abs().max()) <= bound


@pytest.mark.parametrize("blocks", CUTS, ids=str)
def test_rows_are_exchanged_like_beams(blocks):
    """Each row's outputs are those of the inputs its ancestors saw."""
    generator = torch.Generator().manual_seed(4)
    kernels = torch.randn(2, 40, generator=generator)
    stream, histories = OnlineConvolution(kernels, blocks, 0.6), torch.empty(3, 0, 2, 2)
    for time in range(60):
        x = torch.randn(len(histories), 1, 2, 2, generator=generator)
        histories = torch.cat([histories, x], 1)
        y = stream.push(x)
        expected = written_out(histories, kernels)[:, -1:]
        assert float((y - expected).abs().max()) <= tolerance(histories, kernels, torch.float32)
        rows = torch.randint(0, len(histories), (4 if time == 20 else len(histories),), generator=generator)
        stream.select(rows)
        histories = histories[rows]


def test_new_kernels_apply_to_the_whole_past():
    generator = torch.Generator().manual_seed(5)
    old, new = torch.randn(2, 1, 40, generator=generator)
    x = torch.randn(1, 50, 1, 2, generator=generator)
    for blocks in CUTS:
        stream = OnlineConvolution(old, blocks)
        stream_through(stream, x[:, :33])
        stream.set_kernels(new)
        y = stream_through(stream, x[:, 33:])
        error = (y - written_out(x, new)[:, 33:]).abs().max()
        assert float(error) <= tolerance(x, new, torch.float32)


@pytest.mark.parametrize("blocks", [None, Blocks(2, 8, 2, 4)], ids=str)
def test_kernels_change_in_the_precision_of_the_inputs(blocks):
    """Float64 inputs widen the kernels of a model in float32: new kernels, too."""
    (old, new), x = torch.randn(2, 2, 40), torch.randn(1, 70, 2, 3, dtype=torch.float64)
    stream = OnlineConvolution(old, blocks)
    stream_through(stream, x[:, :33])
    stream.set_kernels(new)
    error = (stream_through(stream, x[:, 33:]) - written_out(x, new)[:, 33:]).abs().max()
    assert float(error) <= tolerance(x, new, torch.float64)


def test_a_copy_goes_its_own_way():
    kernels, x = torch.randn(1, 40), torch.randn(1, 50, 1, 2)
    stream = OnlineConvolution(kernels, Blocks(2, 4, 2, 1))
    stream_through(stream, x[:, :30])
    other = copy.deepcopy(stream)
    stream_through(stream, torch.randn(1, 20, 1, 2))
    y = stream_through(other, x[:, 30:])
    error = (y - written_out(x, kernels)[:, 30:]).abs().max()
    assert float(error) <= tolerance(x, kernels, torch.float32)


def test_modes_of_autograd_may_alternate():
    """Inference mode, no_grad and neither, step by step; float32 inside under autocast."""
    kernels, x = torch.randn(1, 40), torch.randn(1, 60, 1, 2)
    stream, y = OnlineConvolution(kernels, Blocks(2, 4, 2, 1)), []
    for time in range(60):
        modes = (torch.inference_mode(), torch.no_grad(), torch.enable_grad(), torch.autocast("cpu"))
        with modes[time // 2 % 4]:
            y.append(stream.push(x[:, time : time + 1].clone().requires_grad_(time % 3 == 0)).detach())
    error = (torch.cat(y, 1) - written_out(x, kernels)).abs().max()
    assert float(error) <= tolerance(x, kernels, torch.float32)


class TestBadInput:
    @pytest.mark.parametrize("shape", [(1, 0, 2, 3), (1, 1, 3, 3), (1, 2, 3), (2, 1, 2, 3), (1, 1, 2, 4)])
    def test_inputs_that_do_not_fit(self, shape):
        stream = OnlineConvolution(torch.randn(2, 5))
        stream.push(torch.zeros(1, 2, 2, 3))
        with pytest.raises(ValueError, match=r"must have shape|do not continue"):
            stream.push(torch.zeros(shape))

    def test_another_precision_midway(self):
        stream = OnlineConvolution(torch.randn(2, 5))
        stream.push(torch.zeros(1, 2, 2, 3))
        with pytest.raises(ValueError, match=r"do not continue inputs of torch\.float32"):
            stream.push(torch.zeros(1, 1, 2, 3, dtype=torch.float64))

    def test_kernels_and_blocks(self):
        for shape in [(5,), (0, 5), (2, 0)]:
            with pytest.raises(ValueError, match="kernels must have shape"):
                OnlineConvolution(torch.zeros(shape))
        for phase in (-0.1, 1.0, float("nan")):
            with pytest.raises(ValueError, match="phase="):
                OnlineConvolution(torch.zeros(1, 5), None, phase)
        for sizes in [(0, 4), (4, 6), (4, 4), (4, 8, 1), (4, 8, 2, 0)]:
            with pytest.raises(ValueError, match="Blocks"):
                Blocks(*sizes)
        with pytest.raises(ValueError, match="cannot crop 0 inputs"):
            OnlineConvolution(torch.zeros(1, 5)).crop(3)
        with pytest.raises(ValueError, match="decoding='fast'"):
            blocks_for(100, "fast")
