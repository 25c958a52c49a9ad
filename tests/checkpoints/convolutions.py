"""Convolutional layers as people write them."""

import math

import torch
from torch import nn

N, D = 20, 5


class CausalConv(nn.Module):
    """torch's depthwise convolution, padded on the left."""

    def __init__(self, channels=D, taps=4, groups=D, dilation=1):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, taps, groups=groups, dilation=dilation)
        self.left = (taps - 1) * dilation

    def forward(self, x):
        return self.conv(nn.functional.pad(x.transpose(1, 2), (self.left, 0))).transpose(1, 2)


class HyenaFilter(nn.Module):
    """A network of the position makes the kernels; the product is a padded FFT."""

    def __init__(self, channels=D, n=N):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, channels))
        self.decay = nn.Parameter(torch.linspace(0.5, 3.0, channels))
        self.skip = nn.Parameter(torch.randn(channels))
        self.n = n

    def kernel(self):
        t = torch.linspace(0, 1, self.n, dtype=self.skip.dtype)[:, None]
        return self.net(t) * torch.exp(-self.decay * t)

    def forward(self, x):
        size = 2 * self.n
        spectrum = torch.fft.rfft(x, size, dim=1) * torch.fft.rfft(self.kernel(), size, dim=0)
        return torch.fft.irfft(spectrum, size, dim=1)[:, : x.shape[1]] + x * self.skip


class S4D(nn.Module):
    """A diagonal state space run as a recurrence, complex states."""

    def __init__(self, channels=D, states=4):
        super().__init__()
        self.log_dt = nn.Parameter(torch.linspace(-3.0, -1.0, channels))
        self.log_a_real = nn.Parameter(torch.zeros(channels, states))
        self.a_imag = nn.Parameter(math.pi * torch.arange(float(states)).repeat(channels, 1))
        self.c = nn.Parameter(torch.randn(channels, states, 2))
        self.d = nn.Parameter(torch.randn(channels))

    def system(self):
        a = torch.complex(-self.log_a_real.exp(), self.a_imag)
        step = torch.exp(a * self.log_dt.exp()[:, None])
        return step, torch.view_as_complex(self.c) * (step - 1) / a

    def forward(self, x):
        step, c = self.system()
        state, outputs = torch.zeros(len(x), *step.shape, dtype=step.dtype), []
        for t in range(x.shape[1]):
            state = step * state + x[:, t, :, None]
            outputs.append(2 * (c * state).sum(-1).real + self.d * x[:, t])
        return torch.stack(outputs, 1)
