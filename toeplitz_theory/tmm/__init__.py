"""The trainable Toeplitz MLP Mixer, as transformers models.

Importing this package registers ``model_type = "tmm"`` with transformers' Auto classes, so that
``AutoModelForCausalLM.from_pretrained(folder)`` works without ``trust_remote_code``.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from toeplitz_theory.tmm.autoencoder import TMMForAutoencoding
from toeplitz_theory.tmm.config import TMMConfig
from toeplitz_theory.tmm.modeling import TMMForCausalLM, TMMModel
from toeplitz_theory.tmm.penalty import jensen_deficit, mean_delay, recovery_share
from toeplitz_theory.tmm.products import causal_toeplitz_product

AutoConfig.register(TMMConfig.model_type, TMMConfig, exist_ok=True)
AutoModel.register(TMMConfig, TMMModel, exist_ok=True)
AutoModelForCausalLM.register(TMMConfig, TMMForCausalLM, exist_ok=True)

__all__ = [
    "TMMConfig",
    "TMMForAutoencoding",
    "TMMForCausalLM",
    "TMMModel",
    "causal_toeplitz_product",
    "jensen_deficit",
    "mean_delay",
    "recovery_share",
]
