"""Configuration of the Toeplitz MLP Mixer family."""

import math
from dataclasses import fields
from typing import Any

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import PreTrainedConfig

from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.cache import DECODING
from toeplitz_theory.tmm.presets import STORED_KERNELS, preset_fields
from toeplitz_theory.tmm.products import METHODS

MIXER_NAMES = (
    *("toeplitz", "frozen_toeplitz", "masked"),
    *("attention", "linear_attention", "hyena", "ssm"),
)
_CHOICES = {
    "mixer": MIXER_NAMES,
    "norm": ("layernorm", "rmsnorm"),
    "block_order": ("mlp_first", "mixer_first"),
    "hidden_act": ("silu", "gelu", "gelu_pytorch_tanh", "relu"),
    "kernel_init": ("kaiming", "decaying"),
    "linear_init": ("normal", "kaiming"),
    "product": METHODS,
    "decoding": DECODING,
    "beyond_n": ("error", "slide"),
}
# The largest sizes taken: a file that holds an absurd number is to be refused, not to fill the memory.
_AT_MOST = {
    "vocab_size": 2**24,
    "hidden_size": 2**17,
    "num_hidden_layers": 2**12,
    "num_heads": 2**17,
    "kernel_size": 2**12,
    "state_size": 2**16,
    "expansion": 2**10,
    "max_position_embeddings": 2**24,
}
# Written into config.json by transformers itself, or read by its older versions.
_KNOWN_EXTRAS = {
    *(
        "model_type",
        "torch_dtype",
        "name_or_path",
        "output_attentions",
        "num_labels",
        "tie_last_hidden_states",
    ),
    *("_name_or_path", "_commit_hash", "_from_auto", "_attn_implementation_autoset"),
}
# Where transformers takes "owner/name" for code to be fetched from the Hub and run.
_IMPLEMENTATIONS = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")


def _with_plain_errors(cls):
    """Have fields of a wrong type refused in one line; the types are checked by `strict`."""
    checked = cls.__setattr__

    def __setattr__(self, name, value):
        try:
            checked(self, name, value)
        except StrictDataclassFieldValidationError as error:
            raise InputError(f"{cls.__name__}: {str(error.__cause__)[:200]}") from None

    cls.__setattr__ = __setattr__
    return cls


@_with_plain_errors
@strict
class TMMConfig(PreTrainedConfig):
    """Shape and variants of a Toeplitz MLP Mixer.

    Parameters
    ----------
    vocab_size : int
        Number of tokens V.
    hidden_size : int
        Width d of the residual stream.
    num_hidden_layers : int
        Number of blocks; in the autoencoder, of the encoder and of the decoder each.
    mixer : str
        What moves information along time; `docs/models.md` compares them. "toeplitz"; "frozen_toeplitz", the
        same with kernels that stay as they were drawn; "masked", any lower-triangular matrix; "attention" and
        "linear_attention", with rotary positions; "hyena" of order 2; "ssm", diagonal state spaces.
    num_heads : int
        Toeplitz kernels per layer. 1 is the flat mixer (no projections); H > 1 projects to d/H
        channels per head, mixes each head with a kernel of its own, concatenates and projects back. Dense
        matrices, and heads of attention, likewise; "hyena" and "ssm" mix each channel by itself.
    expanded : bool
        Two Toeplitz products with a SiLU between, in place of one (of each head).
    kernel_size : int
        Kernels over k neighbouring channels, k Toeplitz matrices a layer; flat mixers only.
    positive_kernels : bool
        The taps are the softplus of what is stored.
    row_normalised : bool
        Each row of the matrix is divided by its sum, so that outputs are weighted means of the past; the
        taps have to be positive.
    projection_bias : bool
        Whether the projections around the mixer have a bias.
    state_size : int
        Complex states per channel of "ssm".
    expansion : int
        Hidden width of the channel MLP over d.
    max_position_embeddings : int
        Sequence length n: the size of the Toeplitz matrices. Shorter sequences use the leading
        n' taps; longer ones are an error.
    hidden_act : {"silu", "gelu", "gelu_pytorch_tanh", "relu"}
        Activation of the channel MLP.
    norm : {"layernorm", "rmsnorm"}
        Normalisation before each half of a block.
    norm_eps : float
        Added to the variance in the norm.
    final_norm : bool
        Whether a norm stands between the last block and the head.
    block_order : {"mlp_first", "mixer_first"}
        The paper's blocks run the channel MLP first.
    kernel_init : {"kaiming", "decaying"}
        Normal of standard deviation sqrt(2/n) for every tap (the paper's), or the same divided by
        sqrt(1 + k) at lag k.
    linear_init : {"normal", "kaiming"}
        Linear maps and embeddings are normal of standard deviation ``initializer_range``; or sqrt(2 / inputs)
        for the maps and 1 for the embeddings.
    mixer_bias : bool
        Whether each kernel comes with a bias per position, as in the paper's code.
    product : {"auto", "fft", "dense", "blocked"}
        How ``T(w) x`` is computed; the result is the same to rounding.
    decoding : {"auto", "history", "online"}
        How a cached step multiplies: by all inputs so far, or online, at a cost that does not grow with
        the position. "auto" chooses by n.
    beyond_n : {"error", "slide"}
        What becomes of sequences longer than n: refused, or each output takes the last n inputs, as if
        the kernels went on with zeros (biases stay at that of position n - 1).
    initializer_range : float
        Standard deviation of linear maps and embeddings at the start.
    tie_word_embeddings : bool
        Whether the head shares the embedding's weights.
    use_cache : bool
        Whether generation keeps the mixers' inputs.
    pad_token_id, bos_token_id, eos_token_id : int, optional
        Special tokens.

    Raises
    ------
    InputError
        When a field is unknown, out of range, or contradicts another.

    Examples
    --------
    >>> from toeplitz_theory import TMMConfig
    >>> config = TMMConfig(vocab_size=512, hidden_size=64, num_heads=4, max_position_embeddings=256)
    >>> config.head_size
    16
    """

    model_type = "tmm"
    keys_to_ignore_at_inference = ["cache", "past_key_values"]  # noqa: RUF012 (transformers adds a list to it)

    vocab_size: int = 1024
    hidden_size: int = 128
    num_hidden_layers: int = 4
    mixer: str = "toeplitz"
    num_heads: int = 1
    expanded: bool = False
    kernel_size: int = 1
    positive_kernels: bool = False
    row_normalised: bool = False
    projection_bias: bool = False
    state_size: int = 16
    expansion: int = 4
    max_position_embeddings: int = 256
    hidden_act: str = "silu"
    norm: str = "layernorm"
    norm_eps: float = 1e-5
    final_norm: bool = True
    block_order: str = "mlp_first"
    kernel_init: str = "kaiming"
    linear_init: str = "normal"
    mixer_bias: bool = True
    product: str = "auto"
    decoding: str = "auto"
    beyond_n: str = "error"
    initializer_range: float = 0.02
    tie_word_embeddings: bool = False
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def __post_init__(self, **kwargs):
        self._refuse_unknown(kwargs)
        self.refuse_impossible()
        super().__post_init__(**kwargs)

    @classmethod
    def preset(cls, name: str, **fields) -> "TMMConfig":
        """Return the configuration of a published variant.

        Parameters
        ----------
        name : {"paper", "optimised"}
            "paper": LayerNorm, MLP first, expansion 4, SiLU, no norm before the head, kaiming-normal maps and
            kernels. "optimised": RMSNorm, mixer first, GELU, kernels that are a softplus.
        **fields
            Size and vocabulary, and whatever should differ from the preset. Mixers without stored taps take
            from it what is not about taps.

        Returns
        -------
        TMMConfig

        Raises
        ------
        InputError
            When there is no such preset, or a field is wrong.

        Examples
        --------
        >>> from toeplitz_theory import TMMConfig
        >>> TMMConfig.preset("optimised", hidden_size=64, num_heads=4).block_order
        'mixer_first'
        """
        return cls(**{**preset_fields(name, fields.get("mixer", cls.mixer)), **fields})

    @property
    def head_size(self) -> int:
        """Channels per head, d/H."""
        return self.hidden_size // self.num_heads

    @property
    def slides(self) -> bool:
        """Whether sequences longer than n have a meaning for the mixer, as ``beyond_n`` "slide" gives it."""
        return self.mixer in STORED_KERNELS

    @property
    def least_numbers(self) -> int:
        """Numbers that the weights of a model of this configuration hold at least."""
        n, d = self.max_position_embeddings, self.hidden_size
        taps = n * self.num_heads * self.kernel_size * (2 if self.expanded else 1)
        mixing = {"masked": n * n * self.num_heads, "attention": 4 * d * d, "linear_attention": 4 * d * d}
        mixing["ssm"] = d * (d + 4 * self.state_size)
        mixing |= dict.fromkeys(STORED_KERNELS, taps)
        block = 2 * self.expansion * d * d + mixing.get(self.mixer, d * d)
        return self.vocab_size * d + self.num_hidden_layers * block

    def _refuse_unknown(self, extras):
        other = extras.get("model_type", self.model_type)
        if other != self.model_type:
            raise InputError(
                f"this configuration is of a {other!r} model, not {self.model_type!r}: "
                "load it with transformers' AutoModelForCausalLM"
            )
        # transformers keeps unknown keywords as attributes, so a misspelt field would train the wrong model.
        known = {field.name for field in fields(self)} | _KNOWN_EXTRAS | set(_IMPLEMENTATIONS)
        unknown = sorted(extras.keys() - known)
        if unknown:
            name = unknown[0][:100]
            raise InputError(f"TMMConfig has no field {name!r}; the fields are listed in its docstring")
        for name in _IMPLEMENTATIONS:
            _refuse_code(name, extras.get(name))
        labels = extras.get("num_labels")
        if labels is not None and (type(labels) is not int or not 1 <= labels <= 2**16):
            raise InputError(
                f"TMMConfig: num_labels={labels!r:.100} is no number these models, without labels, take"
            )

    def refuse_impossible(self) -> None:
        """Raise when the fields, which may have been set one by one, do not make a model.

        Raises
        ------
        InputError
            When a field is out of range, or contradicts another.

        Examples
        --------
        >>> from toeplitz_theory import TMMConfig
        >>> TMMConfig().refuse_impossible()
        """
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                listed = ", ".join(map(repr, choices))
                raise InputError(f"TMMConfig: {name}={getattr(self, name)!r} is not one of {listed}")
        for name, most in _AT_MOST.items():
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"TMMConfig: {name}={value} must be at least 1")
            if value > most:
                raise InputError(f"TMMConfig: {name} is more than {most}, the most that is taken")
        _refuse_code("attn_implementation", getattr(self, "_attn_implementation_internal", None))
        if self.hidden_size % self.num_heads:
            raise InputError(
                f"TMMConfig: hidden_size={self.hidden_size} is not divisible by num_heads={self.num_heads}"
            )
        pad, last = self.pad_token_id, self.vocab_size - 1
        if pad is not None and not 0 <= pad <= last:
            raise InputError(f"TMMConfig: pad_token_id={pad} is outside the vocabulary 0..{last}")
        for wrong, why in self._contradictions():
            if wrong:
                raise InputError(f"TMMConfig: {why}")
        if not (0 < self.norm_eps < math.inf and 0 < self.initializer_range < math.inf):
            raise InputError("TMMConfig: norm_eps and initializer_range must be positive and finite")

    def _contradictions(self):
        stored, name = self.mixer in STORED_KERNELS, self.mixer
        wide = self.kernel_size > 1
        only = f"is for mixer='toeplitz' or 'frozen_toeplitz', not {name!r}"
        yield self.expanded and not stored, f"expanded {only}"
        yield wide and not stored, f"kernel_size={self.kernel_size} {only}"
        yield self.positive_kernels and not stored, f"positive_kernels {only}"
        yield wide and self.num_heads > 1, f"kernel_size={self.kernel_size} is for flat mixers: num_heads=1"
        yield wide and self.expanded, f"kernel_size={self.kernel_size} does not go with expanded"
        yield wide and self.row_normalised, f"kernel_size={self.kernel_size} does not go with row_normalised"
        yield (
            self.row_normalised and not self.positive_kernels,
            "row_normalised needs positive_kernels: sums of free taps can vanish",
        )
        yield (
            name in ("hyena", "ssm") and self.num_heads > 1,
            f"mixer={name!r} mixes each channel by itself: num_heads=1, not {self.num_heads}",
        )
        yield (
            "attention" in name and self.head_size % 2 == 1,
            f"mixer={name!r} turns pairs of channels: their number a head must be even, not {self.head_size}",
        )
        yield (
            self.beyond_n == "slide" and not stored,
            f"beyond_n='slide' {only}: the others have no window of n inputs",
        )


def _refuse_code(name: str, value: Any) -> None:
    """Raise when what stands in a field is not the name of an implementation that transformers brings."""
    if value is not None and (not isinstance(value, str) or not value.replace("_", "").isalnum()):
        raise InputError(
            f"TMMConfig: {name}={value!r:.100} is not the name of an implementation within transformers: "
            "code from the Hub is not run"
        )
