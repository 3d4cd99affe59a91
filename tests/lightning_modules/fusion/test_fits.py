import torch

from medzoo.lightning_modules.fusion.fits import Evaluated, fit_survival
from medzoo.models.fitted import BaselineSurvival


def patients(event):
    time = torch.tensor([1.0, 2.0, float("nan"), 4.0])
    return [Evaluated({"time": time, "event": torch.tensor(event)}, torch.zeros(4, 2, 3), torch.zeros(4, 3))]


def test_survival_is_fitted_to_events_with_a_known_time():
    survival = BaselineSurvival()
    fit_survival(survival, patients([True, False, True, True]))
    assert survival.moments.tolist() == [1.0, 4.0]


def test_without_events_there_are_no_curves_and_the_run_goes_on(caplog):
    survival = BaselineSurvival()
    fit_survival(survival, patients([False, False, True, False]))
    assert not survival.fitted
    assert "no training patient has the event" in caplog.text
