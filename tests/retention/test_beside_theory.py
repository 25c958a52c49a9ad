"""What single kernels are worth to a model, and rank correlations, against answers that are known."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

import toeplitz_theory as tt
from toeplitz_theory.errors import InputError
from toeplitz_theory.retention import kernel_costs, rank_correlation
from toeplitz_theory.training.model_kernels import named_kernels

TEXT = np.random.default_rng(0).integers(0, 8, (10, 12))


def model_of(cls=tt.TMMForCausalLM, **more):
    torch.manual_seed(0)
    shape = {"vocab_size": 8, "hidden_size": 12, "num_hidden_layers": 2}
    shape |= {"max_position_embeddings": 12, "num_heads": 2}
    return cls(tt.TMMConfig(**shape | more)).eval()


@pytest.mark.parametrize("cls", [tt.TMMForCausalLM, tt.TMMForAutoencoding])
@torch.no_grad()
def test_the_cost_of_a_kernel_is_the_change_of_the_models_own_loss(cls):
    model, ids = model_of(cls), torch.from_numpy(TEXT)
    for _, taps in named_kernels(model):
        taps.normal_(generator=torch.Generator().manual_seed(3))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    costs = kernel_costs(model, TEXT)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert [cost.key for cost in costs] == [key for key, _ in named_kernels(model)]
    loss = model(input_ids=ids, labels=ids).loss.item()
    for cost, (_, taps) in zip(costs, named_kernels(model), strict=True):
        kept = taps.clone()
        for change, other in (
            (cost.silenced, torch.zeros(12)),
            (cost.at_once, torch.tensor(tt.Symbol(kept[-1].numpy()).outer().kernel)),
        ):
            # Its sign is the one closer to the kernel.
            taps[-1] = other * (-1 if float(other.float() @ kept[-1]) < 0 else 1)
            assert change == pytest.approx(model(input_ids=ids, labels=ids).loss.item() - loss, abs=2e-6)
        taps.copy_(kept)


@torch.no_grad()
def test_a_kernel_that_is_its_own_outer_factor_costs_nothing():
    model = model_of(num_hidden_layers=1, num_heads=1)
    for _, taps in named_kernels(model):
        taps.zero_()
        taps[0, :2] = torch.tensor([1.0, 0.5])
    (cost,) = kernel_costs(model, TEXT)
    assert abs(cost.at_once) < 1e-6 and abs(cost.silenced) > 1e-4 and cost.silenced_error > 0


def test_correlations_are_spearmans_and_their_intervals_cover():
    generator, covered = np.random.default_rng(1), 0
    for k in range(60):
        x = generator.standard_normal(60)
        y = 0.6 * x + 0.8 * generator.standard_normal(60)
        one = rank_correlation(x, np.exp(y), seed=k, draws=200)
        assert one.value == pytest.approx(spearmanr(x, y).statistic)
        covered += one.lower < 6 / np.pi * np.arcsin(0.3) < one.upper
    assert covered >= 48  # 95 % of 60 are 57; an honest interval misses this once in 10^4


def test_within_groups_only_what_differs_inside_them_counts():
    group = np.repeat(np.arange(6), 10)
    inside = np.random.default_rng(2).permuted(np.tile(np.arange(10.0), (6, 1)), axis=1).ravel()
    x, y = 100 * group + inside, 100 * group - inside
    assert rank_correlation(x, y).value > 0.9
    assert rank_correlation(x, y, within=group).value == pytest.approx(-1)
    # Six copies of one pair of ten are no more than ten: whole clusters are drawn.
    alone = rank_correlation(np.tile(inside[:10], 6), np.tile(inside[10:20], 6), clusters=group)
    assert alone.lower == pytest.approx(alone.upper)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x": [1.0] * 10, "y": range(10)},
        {"x": range(10), "y": [np.nan] * 9 + [1.0]},
        {"x": range(12), "y": range(12), "clusters": [0, 1, 2] * 4},
    ],
)
def test_no_correlation_without_enough(arguments):
    assert np.isnan(rank_correlation(**arguments).value)


def test_what_cannot_be_asked():
    with pytest.raises(InputError, match="at least 8"):
        kernel_costs(model_of(), TEXT[:4])
    with pytest.raises(InputError, match="no Toeplitz kernel"):
        kernel_costs(model_of(mixer="attention"), TEXT)
    with pytest.raises(InputError, match="for each pair"):
        rank_correlation([1, 2], [1, 2, 3])
