"""The autoencoder of the same blocks: how much of the input one hidden vector can carry.

A causal encoder reads n tokens; only the hidden vector of the last position is kept. It is unrolled
over positions (position i sees the cyclic window of width d/2 that starts at channel i mod d, then a
linear map back to d), and a decoder of the same depth gives all tokens back.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers.utils.generic import ModelOutput, can_return_tuple

from toeplitz_theory.tmm.config import TMMConfig
from toeplitz_theory.tmm.inputs import (
    CACHE_NAMES,
    Place,
    check_ids,
    check_keywords,
    check_labels,
    check_length,
    place_of,
)
from toeplitz_theory.tmm.modeling import TMMBlock, build_norm
from toeplitz_theory.tmm.pretrained import TMMPreTrainedModel

NOT_GIVEN_HERE = ("use_cache", "output_hidden_states", "inputs_embeds", *CACHE_NAMES)


@dataclass
class AutoencoderOutput(ModelOutput):
    """Loss (nats per token), logits (B, t, V) and the hidden vector kept (B, d)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    code: Tensor | None = None


class TMMForAutoencoding(TMMPreTrainedModel):
    """Encode a sequence into its last hidden vector, and decode all of it from there.

    With ``labels`` (the tokens themselves, not shifted; -100 is ignored) the loss is the mean
    cross-entropy of every position. Sequences have no padding: the code is the last position's.

    Parameters
    ----------
    config : TMMConfig
        ``num_hidden_layers`` blocks in the encoder and as many in the decoder.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForAutoencoding
    >>> config = TMMConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, max_position_embeddings=8)
    >>> output = TMMForAutoencoding(config)(torch.tensor([[1, 2, 3]]))
    >>> output.logits.shape, output.code.shape
    (torch.Size([1, 3, 50]), torch.Size([1, 16]))
    """

    base_model_prefix = ""

    def __init__(self, config: TMMConfig):
        super().__init__(config)
        if config.hidden_size % 2:
            raise ValueError(f"hidden_size={config.hidden_size} must be even: the code is unrolled in halves")
        if config.tie_word_embeddings:
            raise ValueError("the autoencoder's head has weights of its own: tie_word_embeddings=False")
        # The encoder is made first and in the language model's order: one seed gives both the same kernels.
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.encoderblocks = nn.ModuleList(TMMBlock(config) for _ in range(config.num_hidden_layers))
        self.encoder_norm = build_norm(config)
        self.unroll_proj = nn.Linear(config.hidden_size // 2, config.hidden_size)
        self.decoderblocks = nn.ModuleList(TMMBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = build_norm(config) if config.final_norm else nn.Identity()
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def encode(self, input_ids: Tensor) -> Tensor:
        """Return the code: the encoder's last hidden vector.

        Parameters
        ----------
        input_ids : Tensor of int, shape (B, t) with t <= n
            Tokens.

        Returns
        -------
        Tensor, shape (B, d)

        Examples
        --------
        >>> import torch
        >>> from toeplitz_theory import TMMConfig, TMMForAutoencoding
        >>> model = TMMForAutoencoding(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
        >>> model.encode(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 16])
        """
        x, place = self._embedded(input_ids)
        for block in self.encoderblocks:
            x = block(x, place)
        return self.encoder_norm(x[:, -1])

    def encoder_states(self, input_ids: Tensor) -> tuple[Tensor, ...]:
        """Return the encoder's hidden states: the embedding, after each block, the last of them normed.

        Parameters
        ----------
        input_ids : Tensor of int, shape (B, t) with t <= n
            Tokens.

        Returns
        -------
        tuple of Tensor, each of shape (B, t, d)
            The code is the last position of the last.

        Examples
        --------
        >>> import torch
        >>> from toeplitz_theory import TMMConfig, TMMForAutoencoding
        >>> model = TMMForAutoencoding(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> bool((model.encoder_states(ids)[-1][:, -1] == model.encode(ids)).all())
        True
        """
        x, place = self._embedded(input_ids)
        states = []
        for block in self.encoderblocks:
            states.append(x)
            x = block(x, place)
        return *states, self.encoder_norm(x)

    def _embedded(self, input_ids: Tensor) -> tuple[Tensor, Place]:
        check_ids(input_ids, self.config.vocab_size)
        n, t = self.config.max_position_embeddings, input_ids.shape[1]
        check_length(0, t, n, slides=False)
        x = self.embed_tokens(input_ids)
        return x, place_of(None, 0, t, n, x)

    def decode(self, code: Tensor, length: int) -> Tensor:
        """Return the logits of every position, from the code alone.

        Parameters
        ----------
        code : Tensor, shape (B, d)
            What ``encode`` returned.
        length : int
            Number of tokens to give back, at most n.

        Returns
        -------
        Tensor, shape (B, length, V)

        Raises
        ------
        ValueError
            When the code has another width, or the length is not between 1 and n.

        Examples
        --------
        >>> import torch
        >>> from toeplitz_theory import TMMConfig, TMMForAutoencoding
        >>> model = TMMForAutoencoding(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
        >>> model.decode(torch.zeros(1, 16), length=3).shape
        torch.Size([1, 3, 50])
        """
        n, d = self.config.max_position_embeddings, self.config.hidden_size
        if code.ndim != 2 or code.shape[1] != d or not 1 <= length <= n:
            raise ValueError(
                f"a code has shape (batch, {d}) and gives 1 to {n} positions, not shape {tuple(code.shape)} "
                f"and {length}"
            )
        x = self.unroll_proj(unroll(code, length))
        place = place_of(None, 0, length, n, x)
        for block in self.decoderblocks:
            x = block(x, place)
        return self.lm_head(self.norm(x))

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor | None = None,
        attention_mask: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> AutoencoderOutput:
        """Encode and give back a batch of sequences.

        Parameters
        ----------
        input_ids : Tensor of int, shape (B, t) with t <= n
            Tokens.
        labels : Tensor of int, shape (B, t), optional
            The tokens asked for at the same positions; -100 is ignored.
        attention_mask : Tensor, shape (B, t), optional
            Accepted when it masks nothing.
        num_items_in_batch : int or Tensor, optional
            Labels of the whole optimiser step, by which the summed loss is divided.
        **kwargs
            As for `TMMModel.forward`; there is no cache, and there are no hidden states to return.

        Returns
        -------
        AutoencoderOutput
            With ``return_dict=False``, or so in the config, a tuple of what is there.

        Raises
        ------
        ValueError
            When the mask hides a position, or the ids do not fit the model.
        TypeError
            When a keyword is unknown.

        Examples
        --------
        >>> import torch
        >>> from toeplitz_theory import TMMConfig, TMMForAutoencoding
        >>> model = TMMForAutoencoding(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> model(ids, labels=ids).loss.shape
        torch.Size([])
        """
        if attention_mask is not None and not bool(attention_mask.bool().all()):
            raise ValueError("the autoencoder takes sequences without padding: group them by length")
        code = self.encode(input_ids)
        n = self.config.max_position_embeddings
        check_keywords(kwargs, place_of(None, 0, input_ids.shape[1], n, code), n, NOT_GIVEN_HERE)
        logits = self.decode(code, input_ids.shape[1])
        loss = None
        if labels is not None:
            check_labels(labels, input_ids.shape, self.config.vocab_size)
            total = cross_entropy(logits.float().flatten(0, 1), labels.long().flatten(), reduction="sum")
            loss = total / ((labels != -100).sum() if num_items_in_batch is None else num_items_in_batch)
        return AutoencoderOutput(loss=loss, logits=logits, code=code)


def unroll(code: Tensor, length: int) -> Tensor:
    """Return (B, length, d/2): at position i the cyclic window of the code that starts at i mod d."""
    d = code.shape[-1]
    starts = torch.arange(length, device=code.device)[:, None]
    channels = (starts + torch.arange(d // 2, device=code.device)) % d
    return code[:, channels]
