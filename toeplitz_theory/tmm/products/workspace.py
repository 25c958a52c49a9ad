"""Buffers for products by blocks, kept between calls: fresh memory costs more than the arithmetic on it."""

import threading
from collections import OrderedDict

import torch
from torch import Tensor

from toeplitz_theory.tmm.products.transform import block_transform, radices_for

KEPT = 4
KEPT_BYTES = 2**25


class Workspace:
    """What products with samples (t, H, c) need: the transform, and buffers for one sample at a time."""

    def __init__(self, t: int, heads: int, channels: int, dtype: torch.dtype, device: torch.device):
        radices, self.b = radices_for(t)
        self.t, self.heads, self.channels = t, heads, channels
        self.dtype, self.device = dtype, device
        self.transform = block_transform(radices, heads, dtype, device)
        self.m = self.transform.blocks
        # One head and no remainder: samples can be read and written where they are.
        self.aligned = heads == 1 and t == self.m * self.b
        first, second, spare = (self._empty(heads, self.m, 2, self.b * channels) for _ in range(3))
        self.analyses = tuple(self.transform.analysis(values, spare) for values in (first, second))
        self.syntheses = tuple(self.transform.synthesis(values, spare) for values in (first, second))
        # Transforms as the columns of each root's product, and as what synthesis starts from.
        self.columns = tuple(values.view(heads * self.m, -1, channels) for values in (first, second))
        self.values = tuple(values.view(self.syntheses[0].source_shape) for values in (first, second))
        self.matrices, self.outer = (self._empty(heads * self.m, 2 * self.b, 2 * self.b) for _ in range(2))
        self.blocks = torch.zeros(heads, self.m * self.b, channels, dtype=dtype, device=device)
        self.part = self.blocks[:, :t].transpose(0, 1)
        self.windows = self._empty(heads, self.m, 2 * self.b - 1)
        window_values, window_spare = (self._empty(heads, self.m, 2, 2 * self.b - 1) for _ in range(2))
        self.window_values = window_values
        self.window_analysis = self.transform.analysis(window_values, window_spare)
        self.window_synthesis = self.transform.synthesis(window_values, window_spare)

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        numbers = 6 * self.columns[0].numel() // 2 + 2 * self.matrices.numel() + self.blocks.numel()
        return (numbers + 3 * self.window_values.numel()) * self.blocks.element_size()


_local = threading.local()


def workspace_for(like: Tensor, dtype: torch.dtype) -> Workspace:
    """Return the workspace of this thread for samples of ``like`` (B, t, H, c), made when there is none.

    A few are kept, unless they are large: then the product is large too, and making them anew is nothing.
    """
    kept: OrderedDict[tuple, Workspace] = _local.__dict__.setdefault("kept", OrderedDict())
    key = (*like.shape[1:], dtype, like.device)
    workspace = kept.get(key)
    if workspace is None:
        with torch.inference_mode(False), torch.no_grad():
            t, heads, channels = map(int, like.shape[1:])
            workspace = Workspace(t, heads, channels, dtype, like.device)
        if workspace.nbytes <= KEPT_BYTES:
            kept[key] = workspace
            while len(kept) > KEPT:
                kept.popitem(last=False)
    else:
        kept.move_to_end(key)
    return workspace
