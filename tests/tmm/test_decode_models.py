"""Generation as a transformers user meets it, with the online product cut so small that all levels work."""

import copy

import pytest
import torch
from transformers import DynamicCache

from tests.tmm.conftest import small_config, small_llama, with_random_biases
from toeplitz_theory import TMMConfig, TMMForCausalLM
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm import cache as cache_module
from toeplitz_theory.tmm.cache import MixerHistory, ToeplitzCacheLayer, blocks_for
from toeplitz_theory.tmm.online_levels import Blocks

SHAPES = {"flat": {"num_heads": 1}, "heads": {"num_heads": 4}, "rms": {"num_heads": 2, "norm": "rmsnorm"}}
DECODINGS = ("history", "online")
GENERATION = {
    "greedy": {},
    "beam": {"num_beams": 3},
    "sample": {"do_sample": True},
    "beam sample": {"num_beams": 2, "do_sample": True},
    "several": {"do_sample": True, "num_return_sequences": 3},
    "prompt lookup": {"prompt_lookup_num_tokens": 3},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Cut time into blocks of 2, 4, 8, 16 and 32: what n = 16,384 meets, at n = 48."""
    chosen = blocks_for

    def small(n, decoding="auto"):
        return None if chosen(n, decoding) is None else Blocks(2, 4, 2, 3)

    monkeypatch.setattr(cache_module, "blocks_for", small)
    with torch.no_grad():
        yield


def make(shape="flat", decoding="online", **changes):
    torch.manual_seed(0)
    fields = {"max_position_embeddings": 48, "decoding": decoding}
    config = small_config(**(fields | SHAPES[shape] | changes))
    return with_random_biases(TMMForCausalLM(config)).eval()


def ids_of(model, batch=1, length=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, model.config.vocab_size, (batch, length), generator=generator)


def bound(logits):
    """Some tens of operations in a row on numbers of order |logits|, each with a rounding error of eps."""
    return 200 * torch.finfo(logits.dtype).eps * float(logits.abs().max())


def step_through(model, ids, sizes):
    """Return the logits of a cached pass over pieces of these sizes, and the cache."""
    past, parts = None, []
    for chunk in ids.split(sizes, dim=1):
        output = model(chunk, past_key_values=past, use_cache=True)
        past = output.past_key_values
        parts.append(output.logits)
    return torch.cat(parts, 1), past


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cached_steps_are_the_full_pass(shape, decoding, dtype):
    model = make(shape, decoding).to(dtype)
    ids = ids_of(model, batch=3, length=48)
    whole = model(ids, use_cache=False).logits
    for sizes in ([1] * 48, [31, *[1] * 17], [5, 1, 1, 6, 1, 1, 9, 1, 3, 1, 1, 1, 1, 2, *[1] * 14]):
        logits, _ = step_through(model, ids, sizes)
        torch.testing.assert_close(logits, whole, atol=bound(whole), rtol=0)


@pytest.mark.parametrize("decoding", DECODINGS)
def test_bfloat16_steps_follow_the_full_pass(decoding):
    model = make("heads", decoding).to(torch.bfloat16)
    ids = ids_of(model, batch=2, length=40)
    whole = model(ids, use_cache=False).logits
    logits, _ = step_through(model, ids, [9, *[1] * 31])
    # The stream is rounded to 8 bits after every operation, in either order: some tens of roundings apart.
    error = (logits.float() - whole.float()).abs().max()
    assert float(error) <= 20 * torch.finfo(torch.bfloat16).eps * float(whole.abs().max())


@pytest.mark.parametrize("how", GENERATION.values(), ids=list(GENERATION))
@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("shape", ["flat", "heads"])
def test_generates_what_it_would_without_a_cache(how, decoding, shape):
    # Drafts are checked only with a cache: they must equal plain greedy decoding without one.
    plain = {} if "prompt_lookup_num_tokens" in how else how
    model = make(shape, decoding)
    batch = 1 if "prompt_lookup_num_tokens" in how else 2
    prompt = ids_of(model, batch).repeat(1, 2)
    generated = []
    for settings in (how, plain | {"use_cache": False}):
        torch.manual_seed(3)
        common = {"max_new_tokens": 30, "min_new_tokens": 30, "do_sample": False}
        generated.append(
            model.generate(prompt, attention_mask=torch.ones_like(prompt), **(common | settings))
        )
    assert torch.equal(*generated)
    assert generated[0].shape[1] == 42


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", [{}, {"num_beams": 3}], ids=["greedy", "beam"])
def test_a_padded_row_generates_what_it_would_alone(decoding, shape, how):
    """Three prompts of different lengths in one batch, padded on the left: same tokens, and same logits."""
    model = make(shape, decoding)
    prompts = [ids_of(model, length=length, seed=length) for length in (3, 9, 6)]
    padded = torch.zeros(3, 9, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        padded[row, -prompt.shape[1] :] = prompt
    settings = {"max_new_tokens": 30, "min_new_tokens": 30, "do_sample": False, **how}
    scored = {"output_logits": True, "return_dict_in_generate": True}
    together = model.generate(padded, attention_mask=(padded != 0).long(), **settings, **scored)
    for row, prompt in enumerate(prompts):
        alone = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings, **scored)
        assert torch.equal(together.sequences[row, 9:], alone.sequences[0, prompt.shape[1] :])
        if not how:
            logits = torch.stack([step[0] for step in alone.logits])
            rows = torch.stack([step[row] for step in together.logits])
            torch.testing.assert_close(rows, logits, atol=bound(logits), rtol=0)


def test_what_stands_in_the_padding_does_not_matter():
    model, prompt = make("heads"), ids_of(make(), length=5)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    rows = []
    for filler in (0, 7, 60):
        padded = torch.cat([torch.full((1, 3), filler), prompt], 1)
        rows.append(
            model.generate(padded, attention_mask=mask, max_new_tokens=20, min_new_tokens=20, do_sample=False)
        )
    assert torch.equal(rows[0][:, 8:], rows[1][:, 8:]) and torch.equal(rows[0][:, 8:], rows[2][:, 8:])


@pytest.mark.parametrize("decoding", DECODINGS)
def test_the_past_does_not_see_the_future(decoding):
    """Two continuations of one prefix: until they part, cached logits are the same bit for bit."""
    model = make("heads", decoding)
    ids = ids_of(model, length=40)
    other = ids.clone()
    other[:, 25:] = ids_of(model, length=40, seed=8)[:, 25:]
    one, _ = step_through(model, ids, [7, *[1] * 33])
    two, _ = step_through(model, other, [7, *[1] * 33])
    assert torch.equal(one[:, :25], two[:, :25])
    assert float((one[:, 25:] - two[:, 25:]).abs().amax(-1).min()) > bound(one)


class TestBeyondN:
    def test_slides_as_if_the_kernels_went_on_with_zeros(self):
        """A model of twice the length, whose further taps are zero and whose biases stay, is the oracle."""
        for shape in SHAPES:
            model = make(shape, beyond_n="slide")
            longer = make(shape, max_position_embeddings=96)
            state, target = model.state_dict(), longer.state_dict()
            for name, value in state.items():
                if name.endswith("weight") and value.shape[-1] == 48 and target[name].shape[-1] == 96:
                    target[name] = torch.cat([value, torch.zeros_like(value)], -1)
                elif value.shape == (48,):
                    target[name] = torch.cat([value, value[-1:].expand(48)])
                else:
                    target[name] = value
            longer.load_state_dict(target)
            ids = ids_of(model, batch=2, length=96)
            expected = longer(ids, use_cache=False).logits
            torch.testing.assert_close(
                model(ids, use_cache=False).logits, expected, atol=bound(expected), rtol=0
            )
            for sizes in ([1] * 96, [60, *[1] * 36], [40, 20, *[1] * 36]):
                logits, _ = step_through(model, ids, sizes)
                torch.testing.assert_close(logits, expected, atol=bound(expected), rtol=0)

    @pytest.mark.parametrize("decoding", DECODINGS)
    def test_generates_on(self, decoding):
        model = make("heads", decoding, beyond_n="slide")
        prompt = ids_of(model, batch=2)
        settings = {"max_new_tokens": 100, "min_new_tokens": 100, "do_sample": False}
        with_cache, without = (model.generate(prompt, use_cache=use, **settings) for use in (True, False))
        assert torch.equal(with_cache, without)

    def test_is_an_error_unless_asked_for(self):
        model = make()
        prompt = ids_of(model, length=40)
        with pytest.raises(ValueError, match=r"n = 48 taps .*beyond_n"):
            model.generate(prompt, max_new_tokens=20, min_new_tokens=20, do_sample=False)


class TestCache:
    def test_is_transformers_own_with_layers_of_ours(self):
        model = make()
        _, past = step_through(model, ids_of(model), [3, 3])
        assert type(past) is DynamicCache and past.get_seq_length() == 6
        assert all(isinstance(layer, ToeplitzCacheLayer) for layer in past.layers)
        assert past.get_mask_sizes(1, 0) == (7, 0) and past.get_max_length() == -1
        past.reset()
        assert past.get_seq_length() == 0

    def test_given_by_the_user_and_used_again(self):
        """One cache over two calls of generate: a conversation goes on where it stopped."""
        model = make("heads")
        prompt = ids_of(model)
        settings = {"min_new_tokens": 10, "max_new_tokens": 10, "do_sample": False}
        past = DynamicCache()
        first = model.generate(prompt, past_key_values=past, **settings)
        second = model.generate(first, past_key_values=past, **settings)
        assert torch.equal(
            second, model.generate(prompt, **(settings | {"min_new_tokens": 20, "max_new_tokens": 20}))
        )

    def test_a_copied_prefix_serves_many_continuations(self):
        model = make()
        ids = ids_of(model, length=20)
        _, past = step_through(model, ids, [20])
        for seed in (4, 5):
            more = torch.cat([ids, ids_of(model, length=5, seed=seed)], 1)
            output = model(more[:, 20:], past_key_values=copy.deepcopy(past))
            whole = model(more, use_cache=False).logits
            torch.testing.assert_close(output.logits, whole[:, 20:], atol=bound(whole), rtol=0)

    def test_crop_and_batch_selection(self):
        model = make("heads")
        ids = ids_of(model, batch=2, length=30)
        whole = model(ids, use_cache=False).logits
        _, past = step_through(model, ids, [25, 1, 1, 1, 1, 1])
        past.crop(-10)
        assert past.get_seq_length() == 20
        past.batch_repeat_interleave(2)
        past.batch_select_indices(torch.tensor([3, 0]))
        output = model(ids[[1, 0], 20:21], past_key_values=past)
        torch.testing.assert_close(output.logits[:, 0], whole[[1, 0], 20], atol=bound(whole), rtol=0)
        with pytest.raises(InputError, match="crop takes minus"):
            past.crop(3)

    def test_changed_weights_are_noticed(self):
        """Kernels changed in place between steps: the next step multiplies the past by the new ones."""
        from tests.tmm.test_decode_online import written_out

        history, kernels = MixerHistory(DynamicCache(), 0, "online"), torch.randn(2, 40)
        x = torch.randn(1, 30, 2, 3)
        calls = []

        def current():
            calls.append(1)
            return kernels

        for time in range(30):
            if time == 17:
                kernels.mul_(-3)
            y = history.convolve(x[:, time : time + 1], [kernels], current)
        assert len(calls) == 2
        torch.testing.assert_close(y.double(), written_out(x, kernels)[:, -1:], atol=1e-4, rtol=0)

    def test_products_of_one_block_are_kept_apart(self):
        history = MixerHistory(DynamicCache(), 1)
        one, two = torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, -1.0]])
        for expected in ((1.0, 1.0), (3.0, 0.0)):
            x = torch.ones(1, 1, 1, 1)
            found = [history.convolve(x, [w], lambda w=w: w, slot=i).item() for i, w in enumerate((one, two))]
            assert tuple(found) == expected

    def test_of_another_model_is_refused(self):
        model = make()
        llama = small_llama()
        ids = ids_of(model)
        theirs = llama(ids, use_cache=True).past_key_values
        with pytest.raises(InputError, match="another kind"):
            model(ids, past_key_values=theirs)
        ours = model(ids, use_cache=True).past_key_values
        with pytest.raises(InputError, match="not keys and values"):
            llama(ids, past_key_values=ours)

    @pytest.mark.parametrize("kind", ["static", "offloaded", "quantized"])
    def test_of_a_kind_that_would_hold_nothing_is_refused(self, kind):
        model = make()
        with pytest.raises(InputError, match="cache_implementation"):
            model.generate(ids_of(model), max_new_tokens=2, cache_implementation=kind)

    def test_of_another_batch_is_refused(self):
        model = make()
        past = model(ids_of(model, batch=2), use_cache=True).past_key_values
        with pytest.raises(ValueError, match="do not continue a batch of 2"):
            model(ids_of(model, batch=3, length=1), past_key_values=past)


class TestGradients:
    def test_flow_through_the_first_pass(self):
        model = make("heads")
        ids = ids_of(model)
        gradients = []
        for use_cache in (True, False):
            model.zero_grad()
            with torch.enable_grad():
                model(ids, use_cache=use_cache, labels=ids).loss.backward()
            gradients.append([p.grad.clone() for p in model.parameters()])
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize("decoding", DECODINGS)
    def test_of_later_steps_are_refused_not_wrong(self, decoding):
        model = make("heads", decoding)
        with torch.enable_grad():
            logits, _ = step_through(model, ids_of(model), [5, 1])
            assert logits.isfinite().all()
            with pytest.raises(RuntimeError, match="does not carry gradients"):
                logits[:, -1].sum().backward()


@pytest.mark.parametrize(("field", "value"), [("decoding", "fast"), ("beyond_n", "wrap")])
def test_configuration_that_makes_no_sense(field, value):
    with pytest.raises(InputError, match=f"{field}='{value}'"):
        TMMConfig(**{field: value})


def test_decoding_is_chosen_by_length():
    assert cache_module.blocks_for(256) is None
    assert blocks_for(cache_module.HISTORY_UP_TO) is None
    assert blocks_for(cache_module.HISTORY_UP_TO + 1) == Blocks()
    assert blocks_for(16_384, "history") is None
