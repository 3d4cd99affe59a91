"""Latent shift against its closed form where score and decoder are linear, and its search against a slow one."""

import numpy as np
import pytest
import torch

from medzoo.evaluation.explanation.latent_shift import latent_shift, shift_map, shift_shares


def linear(seed=0):
    """A decoder D (12, 4), a linear score f of what it decodes, and the gradient g = D' f of the score by the code."""
    torch.manual_seed(seed)
    decoder, slope = torch.randn(12, 4), torch.randn(12) * 0.2
    return decoder, slope, decoder.T @ slope


def test_of_a_linear_score_and_decoder_the_map_is_the_decoded_gradient():
    decoder, slope, gradient = linear()
    code = torch.randn(4)
    shift = latent_shift(lambda codes: codes["ct"] @ decoder.T @ slope, {"ct": code})
    torch.testing.assert_close(shift.codes["ct"], code + torch.tensor(shift.steps).float()[:, None] * gradient)
    decoded = (shift.codes["ct"] @ decoder.T).numpy()
    direction = (decoder @ gradient).abs().numpy()
    for how, factor in (("max", -shift.steps[0]), ("mean", -shift.steps.mean()), ("integral", -shift.steps[0])):
        np.testing.assert_allclose(shift_map(decoded, how), factor * direction, rtol=1e-4)


@pytest.mark.parametrize("scale", [5.0, 0.5, 0.04, 0.001])
def test_the_walk_ends_where_the_score_has_fallen_enough(scale):
    gradient = torch.tensor([scale, 0.0], dtype=torch.float64)
    shift = latent_shift(lambda codes: codes["a"] @ gradient, {"a": torch.tensor([2.0, 1.0], dtype=torch.float64)})
    assert shift.steps[-1] == 0
    assert len(shift.steps) == len(shift.scores) == 10
    assert 0.15 - 1e-9 <= shift.scores[-1] - shift.scores[0] <= 0.18 + 1e-9, "at most one stride too far"
    assert -shift.steps[0] * scale**2 == pytest.approx(shift.scores[-1] - shift.scores[0])


def test_a_flat_score_is_followed_far():
    shift = latent_shift(lambda codes: (codes["a"][:, 0]).sigmoid(), {"a": torch.tensor([12.0])})
    assert 0.15 <= shift.scores[-1] - shift.scores[0] < 1


def test_the_walk_ends_where_the_score_would_rise():
    shift = latent_shift(lambda codes: (codes["a"][:, 0] / 10 - 0.35).square(), {"a": torch.tensor([4.0])})
    assert shift.scores[0] < shift.scores[-1]
    assert shift.scores[0] < 0.05**2 / 3, "near the bottom, although the first stride would lead beyond it"


def test_every_patient_is_compared_with_their_own_code():
    decoder, slope, _ = linear()
    torch.manual_seed(1)
    codes = torch.randn(3, 4)

    def score(codes):
        return (codes["a"] @ decoder.T @ slope).sigmoid()

    for code in codes:
        shift = latent_shift(score, {"a": code})
        torch.testing.assert_close(shift.codes["a"][-1], code)
        assert shift.scores[-1] == pytest.approx(score({"a": code[None]}).item(), abs=1e-6)


def test_shares_follow_the_gradients_and_sum_to_1():
    slopes = {"a": torch.tensor([0.3, 0.4]), "b": torch.tensor([0.1]), "idle": torch.zeros(3)}
    codes = {"a": torch.ones(2), "b": torch.ones(1), "idle": torch.ones(3)}
    shift = latent_shift(lambda codes: sum(codes[name] @ slopes[name] for name in slopes), codes)
    assert shift_shares(shift, {"a": 1.0, "b": 1.0, "idle": 1.0}) == pytest.approx({"a": 5 / 6, "b": 1 / 6, "idle": 0})
    assert shift_shares(shift, {"a": 5.0, "b": 1.0, "idle": 1.0}) == pytest.approx({"a": 0.5, "b": 0.5, "idle": 0})


def test_a_modality_that_plays_no_part_stays():
    shift = latent_shift(lambda codes: codes["a"].sum(1), {"a": torch.ones(2), "b": torch.ones(2)})
    assert torch.equal(shift.codes["b"], torch.ones(10, 2))
    with pytest.raises(ValueError, match="does not depend"):
        latent_shift(lambda codes: torch.ones(len(codes["a"])), {"a": torch.ones(2)})
