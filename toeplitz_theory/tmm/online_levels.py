"""The parts of an online Toeplitz product: how time is cut, the inputs kept, and the levels of blocks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

Part = tuple[slice, slice]  # of heads, and of rows (channels times batch)
EVERYTHING: Part = (slice(None), slice(None))


@dataclass(frozen=True)
class Blocks:
    """How time is cut: block sizes, and how much of a level's work one step does.

    Parameters
    ----------
    first : int
        Block of the dense level, U_0: a step reads U_0 + 1 to 2 U_0 inputs itself.
    spectral : int
        Block U_1 of the first level that uses FFTs; a multiple of ``first``.
    radix : int
        Ratio R of the levels above.
    slice_rows : int
        Channels (times batch) per slice of the dense level; FFT levels take proportionally fewer as their
        blocks grow.

    Raises
    ------
    ValueError
        When the sizes do not divide each other.

    Examples
    --------
    >>> Blocks(first=32, spectral=1024, radix=16).sizes(16_384)
    [32, 1024]
    >>> Blocks(first=2, spectral=4, radix=2).sizes(20)
    [2, 4, 8, 16]
    """

    first: int = 32
    spectral: int = 1024
    radix: int = 16
    slice_rows: int = 32

    def __post_init__(self):
        if min(self.first, self.slice_rows) < 1 or self.radix < 2 or self.spectral <= self.first:
            raise ValueError(f"{self}: sizes must be positive, radix >= 2 and spectral > first")
        if self.spectral % self.first:
            raise ValueError(f"{self}: spectral must be a multiple of first")

    def sizes(self, n: int) -> list[int]:
        """Return the block sizes that n taps need: level l serves lags from U_l + 1 on.

        Parameters
        ----------
        n : int
            Number of taps.

        Returns
        -------
        list of int, growing

        Examples
        --------
        >>> Blocks().sizes(8)
        []
        """
        sizes, size = [], self.first
        while size < n - 1:
            sizes.append(size)
            size = self.spectral if size < self.spectral else size * self.radix
        return sizes

    def reach(self, size: int, wider: int | None, n: int) -> int:
        """Return how many blocks back a level has to look.

        Parameters
        ----------
        size, wider : int
            Its block, and that of the level above (None at the top).
        n : int
            Number of taps.

        Returns
        -------
        int

        Examples
        --------
        >>> Blocks().reach(1024, None, 4096)
        4
        """
        # Lags of gap g begin at (g - 1) size + 1; a level above takes over at its last but one block.
        furthest = (n - 2) // size + 1
        return furthest if wider is None else min(furthest, 2 * wider // size - 1)


class InputStore:
    """The inputs that still matter, (H, c B, time): grown by doubling, the oldest dropped once past use.

    The batch runs within the channel, and slices are made of whole channels: so a beam search may exchange
    rows of the batch while the work of a block is half done.
    """

    def __init__(self):
        self.first = 0  # time of column 0
        self.end = 0  # number of inputs so far
        self.batch = self.channels = 0
        self._kept: Tensor | None = None

    @property
    def dtype(self):
        return None if self._kept is None else self._kept.dtype

    def append(self, x: Tensor, keep: int) -> None:
        new = x.shape[1]
        if self._kept is None or self.end == 0:
            self.batch, self.channels = x.shape[0], x.shape[3]
            self.first, self._kept = 0, x.new_empty(x.shape[2], self.channels * self.batch, 0)
        if self.end + new - self.first > self._kept.shape[-1]:
            self._make_room(new, keep)
        columns = x.permute(2, 3, 0, 1).flatten(1, 2)
        self._kept.narrow(2, self.end - self.first, new).copy_(columns)
        self.end += new

    def _make_room(self, new: int, keep: int) -> None:
        assert self._kept is not None
        first = max(self.first, self.end - keep)
        needed = self.end + new - first
        old = self.between(first, self.end)
        # Doubling copies each input O(1) times on average; an endless stream settles at twice what it keeps.
        room = min(max(64, 2 * needed), max(needed, 2 * keep))
        # An odd number of 64-byte lines a row: rows a power of two apart would share one set of a cache.
        room += -room % 32 + 16
        self._kept = old.new_empty(old.shape[0], old.shape[1], room)
        self._kept[..., : old.shape[-1]] = old
        self.first = first

    def between(self, start: int, stop: int) -> Tensor:
        assert self._kept is not None and start >= self.first, "inputs past use were asked for"
        return self._kept.narrow(2, start - self.first, stop - start)

    def empty(self, shape: tuple[int, int, int], complex_numbers: bool = False) -> Tensor:
        """Return memory of the inputs' kind, to be filled."""
        assert self._kept is not None
        dtype = self._kept.dtype.to_complex() if complex_numbers else self._kept.dtype
        return self._kept.new_empty(shape, dtype=dtype)

    def last(self, count: int) -> Tensor:
        """Return the newest inputs as (B, count, H, c)."""
        kept = self.between(self.end - count, self.end)
        return kept.unflatten(1, (self.channels, self.batch)).permute(2, 3, 0, 1)

    def crop(self, length: int, needed: int) -> None:
        if needed < self.first:
            raise ValueError(f"inputs before {self.first} are gone: cannot go back to {length}")
        self.end = length

    def select(self, pick, batch: int) -> None:
        self._kept, self.batch = pick(self._kept), batch


class Level(ABC):
    """What inputs of finished blocks add to the outputs, at one block size.

    While block m of the outputs is asked for, ``pending`` is filled, slice by slice, for block m + 1 from
    inputs of blocks up to m - 1; ``current`` holds block m, with the share of the levels above added on
    entering it.
    """

    def __init__(self, size: int, reach: int, above: Level | None, prepared: Tensor):
        self.size, self.reach, self.above, self.prepared = size, reach, above, prepared
        self.due: dict[int, list[Part]] = {}
        self.shape: tuple[int, int, int] = (0, 0, 0)
        self.current: Tensor | None = None  # (H, rows, size); None stands for zeros
        self.pending: Tensor | None = None
        self._spare: Tensor | None = None

    @staticmethod
    @abstractmethod
    def prepare(kernels: Tensor, size: int, reach: int) -> Tensor:
        """Return what the level needs of kernels (H, n): made once, whatever the inputs."""

    @abstractmethod
    def rows_per_slice(self, blocks: Blocks) -> int:
        """Return how many channels make a slice whose work one step can take."""

    @abstractmethod
    def compute(self, block: int, oldest: int, part: Part, inputs: InputStore) -> Tensor:
        """Return what input blocks ``oldest`` to ``block - 2`` add to a slice of the outputs of ``block``."""

    def schedule(self, channels: int, batch: int, blocks: Blocks, phase: float) -> None:
        """Spread the slices evenly over the steps of a block."""
        heads = self.prepared.shape[0]
        self.shape = (heads, channels * batch, self.size)
        parts = cut(heads, channels, batch, self.rows_per_slice(blocks), self.size)
        for number, part in enumerate(parts):
            # A phase next to 1 rounds up to the block's end, which no step of the block would reach.
            step = min(int((number + phase) * self.size / len(parts)), self.size - 1)
            self.due.setdefault(step, []).append(part)

    def oldest(self, block: int) -> int:
        """Return the first input block that this level, not one above, adds to outputs of ``block``."""
        taken = 0
        if self.above is not None:
            wider = self.above.size
            taken = (block * self.size // wider - 1) * (wider // self.size)
        return max(0, taken, block - self.reach)

    def advance(self, block: int) -> None:
        """Enter an output block; the level above must have entered its own."""
        self._spare, self.current, self.pending = self.current, self.pending, None
        above = self.above
        if above and above.current is not None:
            if self.current is None:
                self.current = torch.zeros_like(above.current[..., : self.size])
            offset = block * self.size % above.size
            self.current += above.current[..., offset : offset + self.size]

    def work(self, time: int, inputs: InputStore) -> None:
        """Run the slices due at a step."""
        for part in self.due.get(time % self.size, ()):
            self.run(time // self.size + 1, part, inputs)

    def run(self, block: int, part: Part, inputs: InputStore) -> None:
        """Fill a slice of ``pending`` for an output block."""
        oldest = self.oldest(block)
        if oldest > block - 2:
            return
        if self.pending is None:
            self.pending = inputs.empty(self.shape) if self._spare is None else self._spare
            self._spare = None
        self.pending[part] = self.compute(block, oldest, part, inputs)

    def restart(self, time: int, inputs: InputStore) -> None:
        """Take the state that the steps up to ``time`` would have left, from the inputs alone."""
        block = time // self.size
        self.run(block, EVERYTHING, inputs)
        self.advance(block)
        for step, parts in self.due.items():
            if step <= time % self.size:
                for part in parts:
                    self.run(block + 1, part, inputs)

    def select(self, pick: Callable[[Tensor], Tensor]) -> None:
        """Apply a choice of batch rows to everything kept."""
        self.current = None if self.current is None else pick(self.current)
        self.pending = None if self.pending is None else pick(self.pending)
        self._spare = None


class DenseLevel(Level):
    """Outputs of a block from a strip of inputs, by one matrix (H, depth, size); the last row is newest."""

    @staticmethod
    def prepare(kernels, size, reach):
        depth = (reach - 1) * size
        # Entry (i, o) is tap size + depth - i + o, zero from tap n on.
        padded = pad(kernels, (0, max(0, 2 * size + depth - kernels.shape[1])))
        return padded[:, size + 1 : 2 * size + depth].unfold(1, size, 1).flip(1).contiguous()

    def rows_per_slice(self, blocks):
        return blocks.slice_rows

    def compute(self, block, oldest, part, inputs):
        strip = inputs.between(oldest * self.size, (block - 1) * self.size)[part]
        return torch.bmm(strip, self.prepared[part[0], -strip.shape[-1] :])


class SpectralLevel(Level):
    """Outputs of a block from spectra of input blocks, each transformed once at twice the block's length."""

    def __init__(self, *args):
        super().__init__(*args)
        self.spectra: dict[int, Tensor] = {}

    @staticmethod
    def prepare(kernels, size, reach):
        # Gap g needs lags (g - 1) size + 1 ... (g + 1) size - 1; entry 0 only reaches outputs thrown away.
        padded = pad(kernels, (0, max(0, (reach + 1) * size - kernels.shape[1])))
        return torch.fft.rfft(padded[:, size:].unfold(1, 2 * size, size)[:, : reach - 1])

    def rows_per_slice(self, blocks):
        # Half as many rows of twice the length are the same work.
        return max(1, blocks.slice_rows * blocks.spectral // (2 * self.size))

    def compute(self, block, oldest, part, inputs):
        total = None
        for source in range(oldest, block - 1):
            spectrum = self._spectrum(source, part, inputs, newest=source == block - 2)
            kernel = self.prepared[part[0], block - source - 2, None]
            total = spectrum * kernel if total is None else total.addcmul_(spectrum, kernel)
        return torch.fft.irfft(total, n=2 * self.size)[..., self.size :]

    def _spectrum(self, source, part, inputs, newest):
        """Return a slice of an input block's spectrum; the newest block is transformed slice by slice."""
        if newest or source not in self.spectra:
            block = inputs.between(source * self.size, (source + 1) * self.size)
            fresh = part if newest else EVERYTHING
            if source not in self.spectra:
                self.spectra[source] = inputs.empty((*self.shape[:2], self.size + 1), complex_numbers=True)
            self.spectra[source][fresh] = torch.fft.rfft(block[fresh], n=2 * self.size)
        return self.spectra[source][part]

    def advance(self, block):
        super().advance(block)
        past_use = self.oldest(block + 1)
        self.spectra = {s: spectrum for s, spectrum in self.spectra.items() if s >= past_use}

    def select(self, pick):
        super().select(pick)
        self.spectra = {source: pick(spectrum) for source, spectrum in self.spectra.items()}


def cut(heads: int, channels: int, batch: int, wanted: int, most: int) -> list[Part]:
    """Cut (heads, channels times batch) into parts of whole channels: about ``wanted`` rows each.

    More rows where there would be above ``most`` parts, several heads where one has fewer; at least one
    channel of one head.
    """
    wanted = max(1, wanted // batch, math.ceil(heads * channels / most))
    if channels <= wanted:
        step = wanted // channels
        return [(slice(h, h + step), slice(None)) for h in range(0, heads, step)]
    step = math.ceil(channels / (channels // wanted)) * batch
    return [
        (slice(h, h + 1), slice(r, r + step)) for h in range(heads) for r in range(0, channels * batch, step)
    ]
