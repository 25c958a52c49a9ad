"""Buffers for products by blocks, kept between calls: fresh memory costs more than the arithmetic on it."""

import threading
from collections import OrderedDict
from functools import lru_cache

import torch
from torch import Tensor

from toeplitz_theory.tmm.products.transform import block_transform, radices_for

KEPT = 4
KEPT_BYTES = 2**25


class Workspace:
    """What products with samples (t, H c) need: the transform, and buffers for one sample at a time."""

    def __init__(self, t: int, heads: int, channels: int, dtype: torch.dtype, device: torch.device):
        radices, b = radices_for(t, channels)
        self.t, self.heads, self.channels = t, heads, channels
        self.dtype, self.device, self.nbytes = dtype, device, 0
        # Samples are read with all heads joined, as they lie; results come head by head.
        joined = block_transform(radices, 1, dtype, device)
        self.transform = block_transform(radices, heads, dtype, device)
        m = joined.blocks
        self.m, self.b = m, b
        # No remainder: samples can be read where they are.
        self.aligned = t == m * b
        first, second, spare = (self._zeros(m * 2 * b * heads * channels) for _ in range(3))
        self.analyses = tuple(joined.analysis(values, spare) for values in (first, second))
        self.synthesis = joined.synthesis(first if heads > 1 else second, spare)
        self.values = (first if heads > 1 else second).view(self.synthesis.source_shape)
        # Transforms as the columns of each head's products at the roots, and what these give.
        shape = (m, 2 * b, heads, channels)
        self.columns = tuple(values.view(shape).unbind(2) for values in (first, second))
        self.rows = tuple(columns.transpose(1, 2) for columns in self.columns[1])
        results = second.view(heads, m, 2 * b, channels)
        self.results = results.unbind()
        self.joined, self.by_head = first.view(shape), results.permute(1, 2, 0, 3)
        self.matrices, outer = (self._zeros(heads, m, 2 * b, 2 * b) for _ in range(2))
        self.outer = outer.unbind()
        self.matrix_rows, self.outer_rows = (part.view(1, heads * m, -1) for part in (self.matrices, outer))
        self.blocks = self._zeros(m * b, heads * channels)
        self.part = self.blocks[:t]
        self._make_windows()

    def _make_windows(self) -> None:
        """Make what turns taps into matrices at the roots, and back."""
        heads, m, b = self.heads, self.m, self.b
        padded = self._zeros(heads, (m + 1) * b)
        self.taps = padded[:, b : b + self.t]
        self.windows_of_taps = padded.unfold(1, 2 * b, b)
        self.windows = self._zeros(heads, m, 2 * b)
        values, spare = (self._zeros(heads, m, 2, 2 * b) for _ in range(2))
        self.window_analysis = self.transform.analysis(values, spare)
        self.window_synthesis = self.transform.synthesis(values, spare)
        self.window_source = self.windows.view(self.window_analysis.source_shape)
        # On the way back a lag below zero of a window is one of the window before it.
        summed = self._zeros(heads, m + 1, 2 * b)
        self.overlaps = summed[:, :m, b:], summed[:, 1:, :b]
        rows = self.window_synthesis.target_shape[1]
        self.window_target = summed[:, :m].unflatten(1, (rows, -1)).flatten(2)
        self.window_values = values.view(self.window_synthesis.source_shape)
        self.window_rows = values.view(1, heads * m, -1)
        self.spread, self.gather = spread_matrices(m, b, self.dtype, self.device)

    def _zeros(self, *shape: int) -> Tensor:
        buffer = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self.nbytes += buffer.nbytes
        return buffer


@lru_cache(maxsize=16)
def spread_matrices(m: int, b: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the (1, 4 b, 4 b^2) matrix from a window's values at a root to the product there; its transpose.

    The window holds real and imaginary parts of lags -b to b - 1; entry (r, s) of the complex b x b product
    is lag r - s, and as a real matrix it is ``[[real, -imaginary], [imaginary, real]]``.
    """
    with torch.inference_mode(False), torch.no_grad():
        lags = torch.arange(b)[:, None] - torch.arange(b)
        picks = torch.nn.functional.one_hot(lags + b, 2 * b).permute(2, 0, 1) / m
        spread = picks.new_zeros(2, 2 * b, 2, b, 2, b)
        spread[0, :, 0, :, 0] = spread[0, :, 1, :, 1] = spread[1, :, 1, :, 0] = picks
        spread[1, :, 0, :, 1] = -picks
        spread = spread.view(1, 4 * b, 4 * b * b).to(device, dtype)
        # Stored both ways round: products with a transposed right-hand side take up to three times as long.
        return spread, spread.transpose(1, 2).contiguous()


_local = threading.local()


def workspace_for(like: Tensor, heads: int, dtype: torch.dtype) -> Workspace:
    """Return the workspace of this thread for samples of ``like`` (B, t, H c), made when there is none.

    A few are kept, unless they are large: then the product is large too, and making them anew is nothing.
    """
    kept: OrderedDict[tuple, Workspace] | None = getattr(_local, "kept", None)
    if kept is None:
        kept = _local.kept = OrderedDict()
    key = (like.shape[1:], heads, dtype, like.device)
    workspace = kept.get(key)
    if workspace is None:
        with torch.inference_mode(False), torch.no_grad():
            t, width = map(int, like.shape[1:])
            workspace = Workspace(t, heads, width // heads, dtype, like.device)
        if workspace.nbytes <= KEPT_BYTES:
            kept[key] = workspace
            while len(kept) > KEPT:
                kept.popitem(last=False)
    else:
        kept.move_to_end(key)
    return workspace
