"""The causal Toeplitz MLP Mixer: stack of blocks, and language model."""

import torch
from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple

from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm.cache import MixerHistory
from toeplitz_theory.tmm.config import TMMConfig
from toeplitz_theory.tmm.inputs import (
    CACHE_NAME,
    CACHE_NAMES,
    Place,
    check_ids,
    check_keywords,
    check_labels,
    check_length,
    check_vectors,
    kept_positions,
    one_cache,
    place_of,
)
from toeplitz_theory.tmm.mixers import build_mixer
from toeplitz_theory.tmm.pretrained import TMMPreTrainedModel

logger = logging.get_logger(__name__)


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


class TMMModel(TMMPreTrainedModel):
    """Token embedding, blocks and final norm; returns the hidden states (B, t, d).

    Parameters
    ----------
    config : TMMConfig
        Shape of the model.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory.tmm import TMMConfig, TMMModel
    >>> model = TMMModel(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
    >>> model(torch.tensor([[1, 2, 3]])).last_hidden_state.shape
    torch.Size([1, 3, 16])
    """

    def __init__(self, config: TMMConfig):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.mixer_blocks = nn.ModuleList(TMMBlock(config) for _ in range(config.num_hidden_layers))
        self.norm = build_norm(config) if config.final_norm else nn.Identity()
        self.gradient_checkpointing = False
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values=None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        cache=None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Return the hidden states of a batch.

        Parameters
        ----------
        input_ids : Tensor of int, shape (B, t), optional
            Tokens; with a cache, the new ones only.
        attention_mask : Tensor, shape (B, past + t), optional
            Zero at padding, which then contributes nothing; positions count from the first one.
        past_key_values, cache : Cache, optional
            Earlier inputs of the mixers, as returned by the last call: two names, of which transformers uses
            the second from 5.24 on.
        inputs_embeds : Tensor, shape (B, t, d), optional
            Vectors in place of ids.
        use_cache : bool, optional
            Whether to keep the mixers' inputs for the next step.
        output_hidden_states : bool, optional
            Whether to return the stream after the embedding and after each block.
        **kwargs
            What transformers, PEFT and lm-eval pass to every model (`toeplitz_theory.tmm.inputs` has the
            list). ``position_ids`` that start again within a row (documents packed without padding) are
            refused.

        Returns
        -------
        BaseModelOutputWithPast
            ``last_hidden_state`` of shape (B, t, d).

        Raises
        ------
        ValueError
            When ids, mask or length do not fit the model.
        TypeError
            When a keyword is unknown.

        Examples
        --------
        >>> import torch
        >>> from toeplitz_theory.tmm import TMMConfig, TMMModel
        >>> model = TMMModel(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
        >>> len(model(torch.tensor([[1, 2, 3]]), output_hidden_states=True).hidden_states)
        5
        """
        if inputs_embeds is None and input_ids is not None:
            check_ids(input_ids, self.config.vocab_size)
            inputs_embeds = self.embed_tokens(input_ids)
        elif inputs_embeds is not None and input_ids is None:
            check_vectors(inputs_embeds, self.config.hidden_size, self.embed_tokens.weight.dtype)
        else:
            raise ValueError("give either input_ids or inputs_embeds")
        cache = self._cache_of_pass(one_cache(cache, past_key_values), use_cache)
        start = cache.get_seq_length() if cache is not None else 0
        n = self.config.max_position_embeddings
        if self.config.beyond_n != "slide" or not self.config.slides:
            check_length(start, inputs_embeds.shape[1], n, self.config.slides)
        place = place_of(attention_mask, start, inputs_embeds.shape[1], n, inputs_embeds)
        check_keywords(kwargs, place, n)

        keep = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        x, states = inputs_embeds, []
        for index, block in enumerate(self.mixer_blocks):
            if keep:
                states.append(x)
            history = None if cache is None else self._history(cache, index)
            x = block(x, place, history)
        x = self.norm(x)
        return BaseModelOutputWithPast(
            last_hidden_state=x,
            hidden_states=(*states, x) if keep else None,
            **{CACHE_NAME: cache},  # pyright: ignore[reportArgumentType]
        )

    def _cache_of_pass(self, given, use_cache: bool | None) -> Cache | None:
        if given is not None and not isinstance(given, Cache):
            raise ValueError(f"the cache must be a cache of transformers, not a {type(given).__name__}")
        use_cache = self.config.use_cache and not self.training if use_cache is None else use_cache
        if (use_cache or given is not None) and self._runs_blocks_again():
            # The second run would find its own inputs in the cache, as if they were earlier ones.
            if given is not None:
                raise ValueError(
                    "gradient checkpointing runs every block twice, which would change the cache: "
                    "leave it out, or call gradient_checkpointing_disable()"
                )
            logger.warning_once("use_cache=True does not go with gradient checkpointing: no cache is kept")
            return None
        return DynamicCache(config=self.config) if use_cache and given is None else given

    def _runs_blocks_again(self) -> bool:
        checkpointed = any(getattr(block, "gradient_checkpointing", False) for block in self.mixer_blocks)
        return checkpointed and self.training and torch.is_grad_enabled()

    def _history(self, cache, index: int) -> MixerHistory:
        # Blocks do the work of their long products at different steps, so that no step has it all.
        return MixerHistory(cache, index, self.config.decoding, index / self.config.num_hidden_layers)


class TMMForCausalLM(TMMPreTrainedModel, GenerationMixin):
    """Toeplitz MLP Mixer with a language-model head.

    Follows transformers' conventions: ``from_pretrained``, ``save_pretrained``, ``generate``, and a
    next-token loss when ``labels`` are given (labels are shifted inside; -100 is ignored).

    Parameters
    ----------
    config : TMMConfig
        Shape of the model.

    Examples
    --------
    >>> import torch
    >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
    >>> config = TMMConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, max_position_embeddings=8)
    >>> model = TMMForCausalLM(config).eval()
    >>> ids = torch.tensor([[1, 2, 3]])
    >>> model(ids, labels=ids).logits.shape
    torch.Size([1, 3, 50])
    >>> model.generate(ids, max_new_tokens=2, do_sample=False, pad_token_id=0).shape
    torch.Size([1, 5])
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012 (read by transformers)

    def __init__(self, config: TMMConfig):
        super().__init__(config)
        self.model = TMMModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def _prepare_cache_for_generation(self, generation_config, *args, **kwargs):
        # Offloaded, quantised and static caches would be made, and then hold nothing of this model.
        if generation_config.cache_implementation not in (None, "dynamic"):
            raise InputError(
                f"cache_implementation={generation_config.cache_implementation!r} is for keys and values; "
                'this model keeps the inputs of its mixers: leave it out, or pass "dynamic"'
            )
        return super()._prepare_cache_for_generation(  # type: ignore[misc]
            generation_config, *args, **kwargs
        )

    def generate(self, inputs: Tensor | None = None, *args, **kwargs):
        """Continue prompts, as in transformers.

        Parameters
        ----------
        inputs : Tensor of int, shape (B, t), optional
            Prompts, padded on the left; ``attention_mask`` is zero at padding. None begins with
            ``bos_token_id``.
        *args, **kwargs
            As for ``transformers.GenerationMixin.generate``.

        Returns
        -------
        Tensor of int, shape (B, t + new), or a ``ModelOutput`` when asked for

        Raises
        ------
        ValueError
            When the prompts are empty, or prompt and new tokens are longer than the model's context.

        Examples
        --------
        >>> import torch
        >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
        >>> model = TMMForCausalLM(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
        >>> model.generate(torch.tensor([[1, 2]]), max_new_tokens=3, do_sample=False, pad_token_id=0).shape
        torch.Size([1, 5])
        """
        prompts = kwargs.get("input_ids") if inputs is None else inputs
        if prompts is not None:
            check_ids(prompts, self.config.vocab_size)
        cache = one_cache(*(kwargs.pop(name, None) for name in CACHE_NAMES))
        if cache is not None:
            kwargs[CACHE_NAME] = cache
        return super().generate(inputs, *args, **kwargs)  # type: ignore[misc]

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values=None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        cache=None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs,
    ) -> CausalLMOutputWithPast:
        """Return next-token logits, and the loss when labels are given.

        Parameters
        ----------
        input_ids : Tensor of int, shape (B, t), optional
            Tokens; with a cache, the new ones only.
        attention_mask : Tensor, shape (B, past + t), optional
            Zero at padding, which then contributes nothing; positions count from the first one.
        past_key_values, cache : Cache, optional
            Earlier inputs of the mixers, as returned by the last call: two names, of which transformers uses
            the second from 5.24 on.
        inputs_embeds : Tensor, shape (B, t, d), optional
            Vectors in place of ids.
        labels : Tensor of int, shape (B, t), optional
            The tokens themselves: shifted inside; -100 is ignored.
        use_cache : bool, optional
            Whether to keep the mixers' inputs for the next step.
        output_hidden_states : bool, optional
            Whether to return the stream after the embedding and after each block.
        logits_to_keep : int, or Tensor of int, shape (k,)
            Only the last so many positions, 0 for all; or the positions of these indices.
        num_items_in_batch : int or Tensor, optional
            Labels of the whole optimiser step, by which the summed loss is divided.
        **kwargs
            As for `TMMModel.forward`.

        Returns
        -------
        CausalLMOutputWithPast
            ``logits`` of shape (B, t, V), ``loss`` in nats per token; with ``return_dict=False`` here or
            in the config, a tuple of what is there.

        Raises
        ------
        ValueError
            When ids, labels, mask or length do not fit the model, or not all logits are kept for the labels.
        TypeError
            When a keyword is unknown.

        Examples
        --------
        >>> import torch
        >>> from toeplitz_theory import TMMConfig, TMMForCausalLM
        >>> model = TMMForCausalLM(TMMConfig(vocab_size=50, hidden_size=16, max_position_embeddings=8))
        >>> ids = torch.tensor([[1, 2, 3]])
        >>> model(ids, logits_to_keep=1).logits.shape
        torch.Size([1, 1, 50])
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            cache=cache,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **kwargs,
        )
        kept = kept_positions(outputs.last_hidden_state, logits_to_keep)
        logits = self.lm_head(kept)
        loss = None
        if labels is not None:
            if kept is not outputs.last_hidden_state:
                raise ValueError("labels need the logits at all positions: leave logits_to_keep at 0")
            check_labels(labels, kept.shape[:2], self.config.vocab_size)
            loss = self.loss_function(
                logits=logits,
                labels=labels.long(),
                vocab_size=self.config.vocab_size,
                num_items_in_batch=num_items_in_batch,
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            **{CACHE_NAME: outputs.get(CACHE_NAME)},
        )
