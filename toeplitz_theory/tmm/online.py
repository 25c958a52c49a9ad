"""Causal Toeplitz products one input at a time, at a cost that does not grow with the position.

The kernel is known and the inputs arrive one by one, so the product is relaxed (van der Hoeven, "Relax, but
don't be too lazy", 2002; for models of long convolutions Oncescu et al., "Flash Inference", 2024). Time is
cut into blocks of U_0 < U_1 < ... positions, each size dividing the next. The output at time t takes

- from inputs since the start of the block of U_0 before the present one: a dot product now;
- from older inputs, level by level: while outputs of block m are asked for, level l prepares what its
  blocks of inputs up to m - 1 add to the outputs of block m + 1.

Using a finished block one block late (Gardner, "Efficient convolution without input-output delay", 1995)
leaves U_l steps for the work of level l: it is cut into slices of channels, a few per step, and no step
pays for a whole transform. Level 0 multiplies by a dense Toeplitz block, 1.5 U_1 multiply-adds a step and
channel; the levels above transform each block of inputs once and add products of spectra, O(R + log U_l) a
step and channel. With U_0, U_1 and the ratio R of block sizes fixed that is O(log^2 n) for n taps.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from toeplitz_theory.tmm.online_levels import Blocks, DenseLevel, InputStore, Level, SpectralLevel
from toeplitz_theory.tmm.products import causal_toeplitz_product

# Inputs kept beyond their use, so that speculative decoding can step back on a stream longer than n.
CROP_ROOM = 64


class OnlineConvolution:
    """State of ``y[t] = sum_{k < n} w[h, k] x[t - k]`` for a stream of inputs.

    Parameters
    ----------
    kernels : Tensor, shape (H, n)
        One kernel per head. Inputs more than n - 1 steps back have no effect.
    blocks : Blocks or None
        How time is cut. None is the plain product with the history: every step reads all inputs so far, which
        is fastest for short kernels.
    phase : float in [0, 1)
        Where in a block the slices start: layers of different phase do not have their busy steps together.

    Raises
    ------
    ValueError
        When the kernels have the wrong shape or the phase is out of range.

    Examples
    --------
    >>> import torch
    >>> stream = OnlineConvolution(torch.tensor([[1.0, 0.5]]))
    >>> [stream.push(torch.tensor([[[[x]]]])).item() for x in (1.0, 0.0, 2.0)]
    [1.0, 0.5, 2.0]
    """

    def __init__(self, kernels: Tensor, blocks: Blocks | None = None, phase: float = 0.0):
        if kernels.ndim != 2 or 0 in kernels.shape:
            raise ValueError(f"kernels must have shape (heads, taps >= 1), not {tuple(kernels.shape)}")
        if not 0 <= phase < 1:
            raise ValueError(f"phase={phase} must be at least 0 and below 1")
        self.blocks, self.phase = blocks, phase
        self._inputs = InputStore()
        self._levels: list[Level] = []
        self.set_kernels(kernels)

    @property
    def taps(self) -> int:
        """Number of taps n of each kernel."""
        return self._kernels.shape[1]

    @property
    def length(self) -> int:
        """Number of inputs so far."""
        return self._inputs.end

    @property
    def batch(self) -> int:
        """Number of rows in the batch, 0 before the first input."""
        return self._inputs.batch

    @torch.inference_mode(False)
    @torch.no_grad()
    def set_kernels(self, kernels: Tensor) -> None:
        """Change the kernels under the inputs kept: later outputs are those of the new ones throughout.

        Parameters
        ----------
        kernels : Tensor, shape (H, n)
            Of the same shape as before; taken in the precision of the inputs kept.

        Examples
        --------
        >>> import torch
        >>> stream = OnlineConvolution(torch.ones(1, 2))
        >>> _ = stream.push(torch.ones(1, 1, 1, 1))
        >>> stream.set_kernels(torch.tensor([[0.0, 3.0]]))
        >>> stream.push(torch.ones(1, 1, 1, 1)).item()
        3.0
        """
        wide = self._inputs.dtype if self.length else torch.promote_types(kernels.dtype, torch.float32)
        self._hold(kernels.detach().to(wide, copy=True))
        self._rebuild()

    def push(self, x: Tensor) -> Tensor:
        """Take the next inputs and return their outputs.

        Parameters
        ----------
        x : Tensor, shape (B, t, H, c)
            Any number t >= 1 of new inputs; one costs the same at every position.

        Returns
        -------
        Tensor, shape (B, t, H, c), in the dtype of ``x``

        Raises
        ------
        ValueError
            When the shape does not fit the kernels or the inputs before.

        Examples
        --------
        >>> import torch
        >>> stream = OnlineConvolution(torch.tensor([[1.0, 0.5]]))
        >>> stream.push(torch.ones(1, 3, 1, 1)).flatten()
        tensor([1.0000, 1.5000, 1.5000])
        """
        self._check(x)
        # Entering a mode takes as long as a small product: ``generate`` is in the right one already.
        autocast = torch.is_autocast_enabled(x.device.type)
        if not (autocast or torch.is_grad_enabled() or torch.is_inference_mode_enabled()):
            return self._advance(x)
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return self._advance(x)

    @torch.inference_mode(False)
    @torch.no_grad()
    def load(self, x: Tensor) -> None:
        """Take inputs whose outputs the caller has computed otherwise.

        Parameters
        ----------
        x : Tensor, shape (B, t, H, c)
            The next t inputs.

        Examples
        --------
        >>> import torch
        >>> stream = OnlineConvolution(torch.tensor([[1.0, 0.5]]))
        >>> stream.load(torch.ones(1, 3, 1, 1))
        >>> stream.push(torch.zeros(1, 1, 1, 1)).item()
        0.5
        """
        self._check(x)
        self._append(x.detach().to(self._wide(x)))

    @torch.inference_mode(False)
    @torch.no_grad()
    def crop(self, length: int) -> None:
        """Forget all but the first ``length`` inputs.

        Parameters
        ----------
        length : int
            At most the number of inputs so far.

        Raises
        ------
        ValueError
            When inputs that are needed again have been dropped: a stream longer than n keeps enough to go
            back by ``CROP_ROOM`` positions.

        Examples
        --------
        >>> import torch
        >>> stream = OnlineConvolution(torch.tensor([[1.0, 0.5]]))
        >>> _ = stream.push(torch.ones(1, 3, 1, 1))
        >>> stream.crop(1)
        >>> stream.push(torch.zeros(1, 1, 1, 1)).item()
        0.5
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop {self.length} inputs to {length}")
        self._inputs.crop(length, needed=max(0, length - self.taps - 2 * self._largest()))
        self._rebuild()

    @torch.inference_mode(False)
    @torch.no_grad()
    def select(self, rows: Tensor) -> None:
        """Replace the batch by a selection of its rows, with repetition: beams, and samples per prompt.

        Parameters
        ----------
        rows : Tensor of int, shape (B',)
            Row of the old batch that each new row continues.

        Examples
        --------
        >>> import torch
        >>> stream = OnlineConvolution(torch.tensor([[1.0, 0.5]]))
        >>> _ = stream.push(torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1))
        >>> stream.select(torch.tensor([1, 1]))
        >>> stream.push(torch.zeros(2, 1, 1, 1)).flatten()
        tensor([1.5000, 1.5000])
        """
        batch, channels = self._inputs.batch, self._inputs.channels
        if self.length == 0 or (len(rows) == batch and rows.tolist() == list(range(batch))):
            return
        rows = rows.to(self._kernels.device).clone()

        def pick(state: Tensor) -> Tensor:
            return state.unflatten(1, (channels, batch)).index_select(2, rows).flatten(1, 2)

        self._inputs.select(pick, len(rows))
        if len(rows) != batch:
            self._rebuild()  # another number of rows is cut into other slices
            return
        for level in self._levels:
            level.select(pick)

    def _largest(self) -> int:
        return self._levels[-1].size if self._levels else 0

    def _keep(self) -> int:
        # The newest three blocks of the widest level, what its kernels reach from there, and room to crop.
        return self.taps + 3 * self._largest() + CROP_ROOM

    def _wide(self, x: Tensor) -> torch.dtype:
        return torch.promote_types(x.dtype, self._kernels.dtype)

    def _check(self, x: Tensor) -> None:
        heads = self._kernels.shape[0]
        if x.ndim != 4 or x.shape[1] == 0 or x.shape[2] != heads:
            raise ValueError(f"inputs must have shape (B, t >= 1, {heads}, c), not {tuple(x.shape)}")
        if self.length and (x.shape[0], x.shape[3]) != (self._inputs.batch, self._inputs.channels):
            raise ValueError(
                f"inputs of shape {tuple(x.shape)} do not continue a batch of {self._inputs.batch} with "
                f"{self._inputs.channels} channels a head: reset the cache, or reorder it with the batch"
            )
        if self.length and self._wide(x) != self._inputs.dtype:
            raise ValueError(f"inputs of {x.dtype} do not continue inputs of {self._inputs.dtype}")

    def _hold(self, kernels: Tensor) -> None:
        self._kernels = kernels
        self._reversed = kernels.flip(-1)[:, :, None].contiguous()
        self._prepared: dict[int, Tensor] = {}  # by block size: what a level makes of the kernels

    def _append(self, x: Tensor) -> None:
        if self._kernels.dtype != x.dtype:
            self._hold(self._kernels.to(x.dtype))
        self._inputs.append(x, keep=self._keep())
        self._rebuild()

    def _advance(self, x: Tensor) -> Tensor:
        wide = x.detach().to(self._wide(x))
        return (self._step(wide) if x.shape[1] == 1 else self._chunk(wide)).to(x.dtype)

    def _chunk(self, x: Tensor) -> Tensor:
        self._append(x)
        context = self._inputs.last(min(self.length, self.taps - 1 + x.shape[1]))
        kernels = pad(self._kernels, (0, max(0, context.shape[1] - self.taps)))
        return causal_toeplitz_product(context, kernels)[:, -x.shape[1] :]

    def _step(self, x: Tensor) -> Tensor:
        time = self.length
        if time == 0:
            self._append(x)
            return x * self._kernels[:, 0, None]
        for level in reversed(self._levels):
            if time % level.size == 0:
                level.advance(time // level.size)
        self._inputs.append(x, keep=self._keep())
        first = self._levels[0].size if self._levels else 0
        start = max(0, time + 1 - self.taps, (time // first - 1) * first if first else 0)
        recent = self._inputs.between(start, time + 1)
        taps = self._reversed.narrow(1, self.taps - (time + 1 - start), time + 1 - start)
        older = self._levels[0].current if first else None
        if older is None:
            y = torch.bmm(recent, taps)
        else:
            y = torch.baddbmm(older.narrow(2, time % first, 1), recent, taps)
        for level in self._levels:
            level.work(time, self._inputs)
        # (H, c B, 1) back to (B, 1, H, c)
        return y.view(y.shape[0], -1, self._inputs.batch).permute(2, 0, 1)[:, None]

    def _rebuild(self) -> None:
        """Bring all levels to the state that steps up to the present length would have left."""
        self._levels = []
        if self.blocks is None or self.length == 0:
            return
        above: Level | None = None
        for size in reversed(self.blocks.sizes(self.taps)):
            kind = DenseLevel if size == self.blocks.first else SpectralLevel
            reach = self.blocks.reach(size, above.size if above else None, self.taps)
            if size not in self._prepared:
                self._prepared[size] = kind.prepare(self._kernels, size, reach)
            above = kind(size, reach, above, self._prepared[size])
            above.schedule(self._inputs.channels, self._inputs.batch, self.blocks, self.phase)
            above.restart(self.length - 1, self._inputs)
            self._levels.insert(0, above)
