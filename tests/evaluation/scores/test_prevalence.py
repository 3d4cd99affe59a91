import numpy as np
import pytest

from medzoo.evaluation.figures import nomogram_html
from medzoo.evaluation.scores.prevalence import at_prevalence, prior_shift
from tests.evaluation.nomogram.test_scale import CASE, GOLDEN


def test_prevalence_moves_the_odds_by_bayes_rule():
    """By hand: odds at another prevalence are those of the study times the ratio of the prior odds."""
    prob, share, prevalence = np.array([0.02, 0.5, 0.97]), 0.24, 0.00025
    odds = prob / (1 - prob) * (prevalence / (1 - prevalence)) / (share / (1 - share))
    assert at_prevalence(prob, share, prevalence) == pytest.approx(odds / (1 + odds), rel=1e-12)
    assert at_prevalence(prob, share, None) == pytest.approx(prob, rel=1e-12)
    assert at_prevalence(np.array([0.5]), share, prevalence)[0] == pytest.approx(0.00079, abs=1e-5)


def test_king_and_zengs_correction_of_the_intercept():
    share, prevalence = 0.24, 0.00025
    correction = np.log((1 - prevalence) / prevalence * share / (1 - share))  # their eq. 7, which is subtracted
    assert prior_shift(share, prevalence) == pytest.approx(-correction, rel=1e-12)


def test_a_case_control_sample_is_brought_to_its_population():
    """The intercept of a model of chosen cases, moved to the share in the population, is that of the population."""
    from medzoo.evaluation.regression.logistic import fit_logistic

    rng = np.random.default_rng(0)
    x = rng.normal(size=400_000)
    positive = rng.uniform(size=len(x)) < 1 / (1 + np.exp(6 - 1.5 * x))
    sick = np.flatnonzero(positive)
    chosen = np.concatenate([sick, rng.choice(np.flatnonzero(~positive), 3 * len(sick), replace=False)])
    fit = fit_logistic(x[chosen, None], positive[chosen], ["x"])
    assert fit.intercept + prior_shift(0.25, float(positive.mean())) == pytest.approx(-6, abs=0.15)


@pytest.mark.parametrize("wrong", [0, 1, 24, -0.1])
def test_what_is_no_prevalence_is_refused(wrong):
    with pytest.raises(ValueError, match=r"prevalence=.* must lie between 0 and 1, such as"):
        prior_shift(0.24, wrong)


def test_page_says_what_its_probability_holds_for_and_takes_another_prevalence():
    page = nomogram_html(GOLDEN, outcome="probability of HLHS", share=0.244, positive="HLHS")
    assert 'Probability of HLHS <span class="holds">at the study&#x27;s share of HLHS (24%)</span>' in page
    assert 'class="prevalence"' in page
    assert '"share": 0.244' in page
    assert 'class="prevalence"' not in nomogram_html(GOLDEN)


def test_values_beyond_the_development_are_said():
    with pytest.warns(UserWarning, match="beyond the development cases: LV_area 500 is outside 0.2 to 2"):
        said = GOLDEN.score(CASE | {"LV_area": 500})
    assert said.outside == ("LV_area 500 is outside 0.2 to 2",)
    assert GOLDEN.score(CASE).outside == ()
