"""The block every model of the family is made of."""

from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer

from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.inputs import Place
from toeplitz_theory.tmm.mixers import build_mixer


def build_norm(config) -> nn.Module:
    """Return a fresh norm over the channels, of the configured type."""
    cls = nn.LayerNorm if config.norm == "layernorm" else nn.RMSNorm
    return cls(config.hidden_size, eps=config.norm_eps)


class ChannelMLP(nn.Module):
    """Two linear maps over the channels with an activation between: d -> expansion d -> d."""

    def __init__(self, config):
        super().__init__()
        wide = config.expansion * config.hidden_size
        self.up = nn.Linear(config.hidden_size, wide)
        self.act = ACT2FN[config.hidden_act]
        self.down = nn.Linear(wide, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))


class TMMBlock(GradientCheckpointingLayer):
    """Norm, channel MLP, residual; norm, token mixing, residual (or the mixer first)."""

    def __init__(self, config):
        super().__init__()
        self.mlp_first = config.block_order == "mlp_first"
        self.channel_norm = build_norm(config)
        self.channel_mixing_layer = ChannelMLP(config)
        self.token_norm = build_norm(config)
        self.token_mixing_layer = build_mixer(config)

    def forward(
        self,
        x: Tensor,
        place: Place,
        history: MixerHistory | None = None,
    ) -> Tensor:
        if self.mlp_first:
            return self._mix_tokens(self._mix_channels(x), place, history)
        return self._mix_channels(self._mix_tokens(x, place, history))

    def _mix_channels(self, x):
        return x + self.channel_mixing_layer(self.channel_norm(x))

    def _mix_tokens(self, x, place, history):
        inputs = self.token_norm(x)
        if place.mask is not None:
            # Padding must contribute nothing to later positions: convolution has no mask of its own.
            inputs = inputs * place.mask
        return x + self.token_mixing_layer(inputs, place, history)
