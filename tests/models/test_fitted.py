import pytest
import torch

from models.fitted import FittedPart


class Threshold(FittedPart):
    def __init__(self):
        super().__init__()
        self.register_buffer("value", torch.zeros(()))


def test_fitted_part_is_refused_until_fitted_and_travels_with_the_state():
    part, other = Threshold(), Threshold()
    with pytest.raises(ValueError, match="Threshold has not been fitted: take the checkpoint that was tested"):
        part.check_fitted()
    part.take(value=0.3)
    other.load_state_dict(part.state_dict())
    other.check_fitted()
    assert other.value.item() == pytest.approx(0.3)


@pytest.mark.parametrize("numbers", [{"threshold": 0.3}, {"value": [0.3, 0.4]}])
def test_fitted_part_refuses_other_names_and_shapes(numbers):
    with pytest.raises(ValueError, match="is none of its numbers"):
        Threshold().take(**numbers)
