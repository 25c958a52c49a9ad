"""One step divided in different ways: processes, accumulated parts, sharded weights. The numbers stay."""

import copy
import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.training.children import command, finish, start, start_group, train
from tests.training.curves import assert_same_run, column
from toeplitz_theory.cli import run
from toeplitz_theory.errors import InputError
from toeplitz_theory.tmm import TMMConfig, TMMForCausalLM, jensen_deficit
from toeplitz_theory.training import runner
from toeplitz_theory.training.batches import BatchOrder
from toeplitz_theory.training.model_kernels import kernel_file, mean_over_kernels, save_kernels
from toeplitz_theory.training.recipe import load_recipe
from toeplitz_theory.training.token_cache import cached_tokens

PENALTY = "jensen_penalty = 0.05"
STEPS = "steps = 40\nlearning_rate = 3e-4"
# An autoencoder wants a code as wide as the text is long.
LENGTH, WIDTH = "sequence_length = 24", "hidden_size = 24"


def assert_same_numbers(one, other):
    """Check curves to rounding; sums in another order, amplified near zeros on the circle."""
    for name in ("loss", "validation_loss", "gradient_norm", "jensen_deficit"):
        first, second = column(one, name), column(other, name)
        assert first.keys() == second.keys() and first
        np.testing.assert_allclose(list(first.values()), list(second.values()), rtol=1e-4, err_msg=name)


@given(
    count=st.integers(1, 60),
    size=st.integers(1, 4),
    processes=st.integers(1, 3),
    accumulate=st.integers(1, 3),
    seed=st.integers(0, 5) | st.none(),
)
def test_every_step_sees_the_same_sequences_however_it_is_divided(count, size, processes, accumulate, seed):
    parts = processes * accumulate
    whole = list(BatchOrder(count, size * parts, seed=seed))
    assert sorted(itertools.chain(*whole)) == list(range(count))
    ranks = range(processes)
    shares = [list(BatchOrder(count, size * parts, rank, processes, accumulate, seed)) for rank in ranks]
    assert {len(share) for share in shares} == {len(whole) * accumulate}
    for step, batch in enumerate(whole):
        passes = [share[step * accumulate + i] for share in shares for i in range(accumulate)]
        assert parts == 1 or {len(one) for one in passes} == {size}
        assert sorted(i for one in passes for i in one if i is not None) == sorted(batch)


def test_an_order_follows_its_epoch_and_ends_with_the_run():
    order = BatchOrder(10, 4, seed=0, last=4)
    first = list(order)
    order.epoch = 1
    second = list(order)
    assert first != second and len(first) == 3 and len(second) == 1
    order.epoch = 2
    assert list(order) == []


@pytest.mark.parametrize("objective", ["next_token", "autoencode"])
def test_accumulated_parts_are_one_batch(recipe_file, tmp_path, objective):
    whole = recipe_file(objective, steps=STEPS, sequence_length=LENGTH, hidden_size=WIDTH, tail=PENALTY)
    runner.train(whole, tmp_path / "whole")
    parts = recipe_file(
        objective,
        steps=STEPS,
        sequence_length=LENGTH,
        hidden_size=WIDTH,
        tail=PENALTY + "\ngradient_accumulation_steps = 2",
    )
    runner.train(parts, tmp_path / "parts")
    assert_same_numbers(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    ("objective", "parts", "killed"), [("next_token", 2, True), ("autoencode", 1, False)]
)
def test_two_processes_are_one_and_go_on_after_a_kill(recipe_file, tmp_path, objective, parts, killed):
    alone = recipe_file(objective, steps=STEPS, sequence_length=LENGTH, hidden_size=WIDTH, tail=PENALTY)
    recipe = load_recipe(alone)
    sequences = len(cached_tokens(recipe.data, tmp_path).packed(24)[0])
    # More than an epoch, whose last step is not full: where the usual padding repeats sequences.
    assert sequences % 4 and sequences / 4 < 36
    runner.train(alone, tmp_path / "alone")
    both = recipe_file(
        objective,
        steps=STEPS,
        sequence_length=LENGTH,
        hidden_size=WIDTH,
        tail=f"{PENALTY}\ngradient_accumulation_steps = {parts}",
    )
    assert finish(*start_group(2, train, both, tmp_path / "both")) == [0, 0]
    assert_same_numbers(tmp_path / "alone", tmp_path / "both")
    if not killed:
        return

    group = start_group(2, train, both, tmp_path / "killed", "pass", 38 * parts)
    assert finish(*group) == [-9, -9]
    files = {path.name for path in (tmp_path / "killed" / "work" / "checkpoint-36").iterdir()}
    assert files >= {"rng_state_0.pth", "rng_state_1.pth", "optimizer.pt"}
    shutil.copytree(tmp_path / "killed", tmp_path / "fewer")
    assert finish(start(train, both, tmp_path / "fewer")) == [0]
    assert_same_numbers(tmp_path / "alone", tmp_path / "fewer")
    assert finish(*start_group(2, train, both, tmp_path / "killed")) == [0, 0]
    assert_same_run(tmp_path / "killed", tmp_path / "both")


def test_a_batch_that_does_not_divide_is_refused(recipe_file, tmp_path):
    path, said = recipe_file(batch_size="batch_size = 3"), tmp_path / "said.txt"
    assert finish(*start_group(2, command, said, "train", path, "--out", tmp_path / "out")) == [2, 2]
    assert "training.batch_size=3" in said.read_text() and "Traceback" not in said.read_text()
    assert not (tmp_path / "out").exists()


def command_then_threads(*arguments) -> None:
    """Exit with 1 if threads of the process group outlive the command: one in use at exit aborts there."""
    code = run([str(argument) for argument in arguments])
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    sys.exit(code or any("gloo" in name for name in names))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="names of threads are read from /proc")
def test_no_thread_outlives_the_command(recipe_file, tmp_path):
    path = recipe_file(steps="steps = 2\nlearning_rate = 3e-4")
    group = start_group(2, command_then_threads, "train", path, "--out", tmp_path / "out")
    assert finish(*group) == [0, 0]


def sharded_gradients(places) -> None:
    """Compare the gradients of sharded weights, penalty included, with those of one process."""
    torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_heads": 2, "max_position_embeddings": 16}
    model = TMMForCausalLM(TMMConfig(vocab_size=32, **shape))
    plain = copy.deepcopy(model)
    mesh = init_device_mesh("cpu", (2,))
    for block in (*model.model.mixer_blocks, model):
        fully_shard(block, mesh=mesh)
    ids = torch.arange(64).reshape(4, 16) * 7 % 32
    for one, part in ((model, ids[torch.distributed.get_rank() :: 2]), (plain, ids)):
        (one(part, labels=part).loss + 0.1 * mean_over_kernels(one, jensen_deficit)).backward()
    for sharded, expected in zip(model.parameters(), plain.parameters(), strict=True):
        assert isinstance(sharded, DTensor)
        torch.testing.assert_close(sharded.grad.full_tensor(), expected.grad, rtol=1e-4, atol=1e-7)
    save_kernels(model, places / str(torch.distributed.get_rank()), 0)
    save_kernels(plain, places / "plain", 0, write=torch.distributed.get_rank() == 0)


def test_sharded_weights_have_the_gradients_and_kernels_of_whole_ones(tmp_path):
    """What FSDP does with the model; the Trainer itself shards on accelerators only."""
    assert finish(*start_group(2, sharded_gradients, tmp_path)) == [0, 0]
    kernels = [load_file(kernel_file(tmp_path / name, 0)) for name in ("0", "1", "plain")]
    for key in kernels[2]:
        assert all(np.array_equal(one[key], kernels[2][key]) for one in kernels)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there it is done")
def test_sharding_where_it_would_be_silently_left_out_is_refused(recipe_file, tmp_path):
    path = recipe_file(tail='sharding = "fsdp"')
    with pytest.raises(InputError, match="needs GPUs"):
        runner.train(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bf16_computes_in_bf16_and_keeps_float32_weights(recipe_file, tmp_path):
    seen: dict[str, set] = {"float32": set(), "bf16": set()}

    def note(module, _, output):
        if isinstance(module, torch.nn.Linear):
            seen[name].add(output.dtype)

    for name in seen:
        with torch.nn.modules.module.register_module_forward_hook(note):
            runner.train(recipe_file(tail=f'precision = "{name}"'), tmp_path / name)
    assert seen == {"float32": {torch.float32}, "bf16": {torch.bfloat16}}
    single, half = (np.array(list(column(tmp_path / name, "loss").values())) for name in seen)
    assert 1e-6 < abs(half / single - 1).max() < 0.02
    weights = load_file(tmp_path / "bf16" / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
