"""Schedules, samplers, correlated noise and guidance, against formulas and targets whose denoiser is known exactly."""

import math
from itertools import pairwise

import pytest
import torch

from medzoo.models.diffusion import (
    DDIM,
    DDPM,
    DPMSolverPP2M,
    cosine_schedule,
    guide,
    guided,
    linear_schedule,
    sampling_times,
    sigmoid_schedule,
    slice_correlated_noise,
)
from medzoo.models.diffusion.samplers import Place
from medzoo.models.diffusion.schedules import NoiseSchedule

SCHEDULES = {"sigmoid": sigmoid_schedule, "cosine": cosine_schedule, "linear": linear_schedule}
SAMPLERS = {"ddpm": DDPM, "ddim": DDIM, "dpm": DPMSolverPP2M}
MEAN, STD = 1.5, 0.4


def levels(schedule, t):
    return schedule.alphas.double()[t][:, None], schedule.sigmas.double()[t][:, None]


def gaussian(schedule, mean=MEAN, std=STD):
    """Exact velocity when clean samples come from N(mean, std^2)."""

    def denoise(x, t):
        alpha, sigma = levels(schedule, t)
        x0 = (alpha * std**2 * x + sigma**2 * mean) / (alpha**2 * std**2 + sigma**2)
        return (alpha * x - x0) / sigma

    return denoise


def mixture(schedule, means, std, weights):
    """Exact velocity when clean samples come from a mixture of Gaussians."""

    def denoise(x, t):
        alpha, sigma = levels(schedule, t)
        variance = alpha**2 * std**2 + sigma**2
        centres, shares = torch.tensor(means).double(), torch.tensor(weights).double()
        mine = (shares.log() - (x - alpha * centres) ** 2 / (2 * variance)).softmax(1)
        x0 = (mine * (alpha * std**2 * x + sigma**2 * centres) / variance).sum(1, keepdim=True)
        return (alpha * x - x0) / sigma

    return denoise


def ode_solution(schedule, x):
    """Where the probability-flow ODE of the Gaussian target takes x: it keeps the quantile."""
    alpha, sigma = schedule.alphas[-1].double(), schedule.sigmas[-1].double()
    return MEAN + STD * (x - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2).sqrt()


def starts(count=4000, seed=0):
    return torch.randn(count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("timesteps", [50, 1000])
def test_signal_and_noise_levels_preserve_the_variance(name, timesteps):
    schedule = SCHEDULES[name](timesteps)
    t = torch.arange(timesteps)
    assert schedule.timesteps == timesteps
    torch.testing.assert_close(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, torch.ones(timesteps))
    torch.testing.assert_close(schedule.alphas_cumprod, schedule.alpha(t) ** 2)
    assert (schedule.snr(t).diff() < 0).all()


def test_sigmoid_schedule_equals_the_scalar_formula():
    timesteps, start, end, tau = 40, -3.0, 3.0, 0.7

    def sigmoid(value):
        return 1 / (1 + math.exp(-value / tau))

    slow, kept = [], 1.0
    curve = [
        (sigmoid(end) - sigmoid(i / timesteps * (end - start) + start)) / (sigmoid(end) - sigmoid(start))
        for i in range(timesteps + 1)
    ]
    for i in range(timesteps):
        kept *= 1 - min(1 - curve[i + 1] / curve[i], 0.999)
        slow.append(kept)
    assert curve[0] == 1
    assert slow[-1] == pytest.approx(0.001 * slow[-2])  # the last step, which would go to 0, is clipped
    fast = sigmoid_schedule(timesteps, start, end, tau).alphas_cumprod.tolist()
    assert fast == pytest.approx(slow, rel=1e-5)


def test_cosine_and_linear_schedules_equal_their_formulas():
    def curve(i):
        return math.cos((i / 100 + 0.008) / 1.008 * math.pi / 2) ** 2

    fast = cosine_schedule(100).alphas_cumprod
    assert [fast[i].item() for i in (0, 49, 98)] == pytest.approx(
        [curve(i + 1) / curve(0) for i in (0, 49, 98)], rel=1e-5
    )
    kept = 1.0
    for i in range(1000):
        kept *= 1 - (1e-4 + (0.02 - 1e-4) * i / 999)
    assert linear_schedule().alphas_cumprod[-1].item() == pytest.approx(kept, rel=1e-5)


def test_velocity_goes_there_and_back():
    schedule = sigmoid_schedule()
    x0, noise = torch.randn(2, 6, 3, 4, 4, dtype=torch.float64)
    t = torch.tensor([0, 1, 300, 700, 998, 999])
    x, v = schedule.add_noise(x0, noise, t), schedule.velocity(x0, noise, t)
    levels = (level(t).view(-1, 1, 1, 1) for level in (schedule.alpha, schedule.sigma))
    alpha, sigma = (level.double() for level in levels)
    torch.testing.assert_close(alpha * x - sigma * v, x0, atol=1e-6, rtol=0)
    torch.testing.assert_close(sigma * x + alpha * v, noise, atol=1e-6, rtol=0)
    one = 3
    alpha = schedule.alphas_cumprod[700].item() ** 0.5
    sigma = math.sqrt(1 - alpha**2)
    torch.testing.assert_close(x[one], alpha * x0[one] + sigma * noise[one], atol=1e-6, rtol=0)
    torch.testing.assert_close(v[one], alpha * noise[one] - sigma * x0[one], atol=1e-6, rtol=0)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
def test_min_snr_weight_equals_plain_arithmetic(gamma):
    schedule = cosine_schedule()
    for t in (0, 200, 500, 900, 999):
        square = float(schedule.alphas_cumprod[t])
        snr = square / (1 - square)
        slow = min(snr, gamma) / (snr + 1)
        assert schedule.min_snr_weight(torch.tensor([t]), gamma).item() == pytest.approx(slow, rel=1e-3)


def test_a_schedule_is_no_part_of_a_checkpoint():
    assert not sigmoid_schedule().state_dict()


@pytest.mark.parametrize("square", [[0.9, 0.9], [1.0, 0.5], [0.5, 0.0]])
def test_a_schedule_that_does_not_fall_is_refused(square):
    with pytest.raises(ValueError, match="decrease strictly"):
        NoiseSchedule(torch.tensor(square))


# --- samplers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", ["time", "lambda"])
@pytest.mark.parametrize("steps", [1, 2, 3, 20, 250, 1000])
def test_times_fall_from_the_noisiest_to_the_cleanest(name, spacing, steps):
    times = sampling_times(SCHEDULES[name](), steps, spacing)
    assert len(times) == steps == len(set(times))
    assert times == sorted(times, reverse=True)
    assert times[0] == 999
    assert steps == 1 or times[-1] == 0


def test_trailing_times_end_one_step_before_the_beginning():
    schedule = sigmoid_schedule()
    assert sampling_times(schedule, 10, "trailing") == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert [sampling_times(schedule, steps, "trailing")[-1] for steps in (1, 100, 250, 1000)] == [999, 9, 3, 0]


def test_lambda_spacing_takes_equal_steps_of_lambda():
    schedule = sigmoid_schedule(10_000)
    lambdas = (schedule.alphas / schedule.sigmas).log()[sampling_times(schedule, 20, "lambda")]
    steps = lambdas[1:].diff()
    assert steps.max() / steps.min() < 1.1


@pytest.mark.parametrize(
    ("name", "steps", "tolerance"), [("ddpm", 1000, 0.01), ("ddim", 400, 0.01), ("dpm", 20, 0.025), ("dpm", 40, 0.01)]
)
def test_samples_have_the_mean_and_variance_of_a_gaussian_target(name, steps, tolerance):
    schedule = sigmoid_schedule()
    torch.manual_seed(0)
    samples = SAMPLERS[name](steps)(gaussian(schedule), starts(40_000), schedule)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.01)
    assert samples.std().item() == pytest.approx(STD, rel=tolerance)


def test_samples_have_the_shares_of_a_mixture():
    schedule = sigmoid_schedule()
    denoise = mixture(schedule, [-1.0, 2.0], 0.3, [0.25, 0.75])
    samples = DPMSolverPP2M(25)(denoise, starts(40_000), schedule)
    left = samples < 0.5
    assert left.double().mean().item() == pytest.approx(0.25, abs=0.01)
    assert samples[left].mean().item() == pytest.approx(-1.0, abs=0.02)
    assert samples[~left].mean().item() == pytest.approx(2.0, abs=0.02)
    assert samples[~left].std().item() == pytest.approx(0.3, rel=0.05)


def error(sampler, schedule):
    x = starts()
    return (sampler(gaussian(schedule), x, schedule) - ode_solution(schedule, x)).square().mean().sqrt().item()


def test_ddim_tends_to_the_solution_of_the_flow_at_first_order():
    schedule = linear_schedule(4000)
    coarse, fine, finest = (error(DDIM(steps, spacing="lambda"), schedule) for steps in (20, 40, 1000))
    assert coarse / fine == pytest.approx(2, rel=0.25)
    assert finest < 2e-3


def test_dpm_solver_is_of_second_order_and_beats_ddim():
    # Many times, so that rounding to whole times does not blur the order.
    schedule = linear_schedule(100_000, start=1e-6)
    errors = [error(DPMSolverPP2M(steps), schedule) for steps in (20, 40, 80)]
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert all(1.6 < order < 3.2 for order in orders), (errors, orders)
    for schedule in (sigmoid_schedule(), cosine_schedule(), linear_schedule()):
        ddim = min(error(DDIM(20, spacing=spacing), schedule) for spacing in ("time", "lambda"))
        assert error(DPMSolverPP2M(20), schedule) < 0.25 * ddim


def test_twenty_passes_are_ten_times_better_in_lambda_than_in_time():
    schedule = linear_schedule()
    assert 10 * error(DPMSolverPP2M(20), schedule) < error(DPMSolverPP2M(20, spacing="time"), schedule)


def test_ddim_with_full_noise_is_ddpm():
    schedule, x = cosine_schedule(), starts(50)
    fresh = [starts(50, seed) for seed in range(1, 30)]
    both = []
    for sampler in (DDPM(30), DDIM(30, eta=1.0)):
        supply = iter(fresh)
        both.append(sampler(gaussian(schedule), x, schedule, draw=lambda like, supply=supply: next(supply)))
    torch.testing.assert_close(*both, atol=1e-6, rtol=0)  # levels are kept in float32


def test_ddpm_draws_from_the_posterior_of_bayes():
    schedule = sigmoid_schedule()
    (a, s), (an, sn) = ((schedule.alphas[t].double().item(), schedule.sigmas[t].double().item()) for t in (600, 550))
    x, x0 = torch.tensor([[0.7]]).double(), torch.tensor([[-0.3]]).double()
    # Prior of the next x given x0: N(an x0, sn^2). Likelihood of x given it: N(a/an next, s^2 - (a/an sn)^2).
    noise = s**2 - (a / an * sn) ** 2
    precision = 1 / sn**2 + (a / an) ** 2 / noise
    mean = (an * x0 / sn**2 + a / an * x / noise) / precision
    for draw in (0.0, 1.0):
        step = DDPM(2).step(Place(x, x0, a, s, an, sn, lambda like, draw=draw: torch.full_like(like, draw), None))
        torch.testing.assert_close(step, mean + draw / precision**0.5)


def test_passes_are_counted_and_results_repeat():
    schedule, x, seen = sigmoid_schedule(), starts(3), []
    sampler = DPMSolverPP2M(7)
    first = sampler(gaussian(schedule), x, schedule, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 7) for done in range(1, 8)]
    assert torch.equal(first, sampler(gaussian(schedule), x, schedule))


def test_too_many_steps_are_refused():
    with pytest.raises(ValueError, match="steps=51 does not fit a schedule of 50"):
        DDIM(51)(gaussian(sigmoid_schedule(50)), starts(2), sigmoid_schedule(50))


# --- noise along z --------------------------------------------------------------------------------


def test_noise_has_the_exponential_covariance_at_uneven_positions():
    positions = torch.tensor([10.0, 0.0, 2.5, 3.0, 30.0])
    noise = slice_correlated_noise(positions, (4, 5, 2, 100, 100), 6.0, torch.Generator().manual_seed(0))
    assert noise.shape == (4, 5, 2, 100, 100)
    sampled = noise.transpose(0, 1).flatten(1).cov()
    exact = torch.exp(-(positions[:, None] - positions).abs() / 6.0)
    torch.testing.assert_close(sampled, exact, atol=0.02, rtol=0)


def test_length_zero_is_independent_and_infinite_is_shared():
    positions = [0.0, 5.0, 5.0]  # also for two slices at one place
    free = slice_correlated_noise(positions, (1, 3, 1, 200, 200), 0.0)
    torch.testing.assert_close(free[0].flatten(1).cov(), torch.eye(3), atol=0.03, rtol=0)
    shared = slice_correlated_noise(positions, (2, 3, 1, 4, 4), math.inf)
    assert torch.equal(shared, shared[:, :1].expand_as(shared))
    assert not torch.equal(shared[0], shared[1])


def test_noise_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="2 slice positions"):
        slice_correlated_noise([0.0, 5.0], (1, 3, 4, 4), 5.0)
    with pytest.raises(ValueError, match="length_mm=-1"):
        slice_correlated_noise([0.0], (1, 1, 4, 4), -1.0)


# --- guidance -------------------------------------------------------------------------------------


def test_guidance_pushes_at_right_angles_to_the_conditional_prediction():
    conditional, null = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64)
    push = (guide(conditional, null, 3.0) - conditional).flatten(1)
    flat, difference = conditional.flatten(1), (conditional - null).flatten(1)
    torch.testing.assert_close((push * flat).sum(1), torch.zeros(5).double(), atol=1e-9, rtol=0)
    for row in range(5):  # Gram-Schmidt, one sample at a time
        slow = difference[row] - (difference[row] @ flat[row]) / (flat[row] @ flat[row]) * flat[row]
        torch.testing.assert_close(push[row], 2 * slow)
    assert torch.equal(guide(conditional, null, 1.0), conditional)


def test_guidance_of_a_zero_prediction_is_finite():
    zero = torch.zeros(2, 3)
    assert torch.equal(guide(zero, torch.ones(2, 3), 2.0), -torch.ones(2, 3))


@pytest.mark.parametrize(("scale", "passes"), [(1, ["with"]), (0, ["without"]), (2.0, ["with", "without"])])
def test_guidance_makes_no_pass_in_vain(scale, passes):
    made = []

    def prediction(name):
        return lambda x, t: made.append(name) or x * len(name)

    x = torch.ones(1, 2)
    result = guided(prediction("with"), prediction("without"), scale)(x, torch.zeros(1))
    assert made == passes
    assert torch.equal(result, 7 * x if scale == 0 else 4 * x)
