import pytest
import torch

from medzoo.models.fitted import FittedPart


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


def test_fitted_part_refuses_other_names_and_shapes():
    with pytest.raises(ValueError, match="no buffer threshold; there are fitted, value"):
        Threshold().take(threshold=0.3)
    with pytest.raises(ValueError, match=r"value is \(2,\), not \(\)"):
        Threshold().take(value=[0.3, 0.4])


class Table(FittedPart):
    def __init__(self):
        super().__init__()
        self.declare("weight", dtype=torch.float64)


def test_a_declared_buffer_takes_the_shape_of_what_is_fitted_and_of_what_is_loaded():
    part, other = Table(), Table()
    part.take(weight=[[1.0, 2.0, 3.0]])
    part.take(weight=[1 / 3, 2 / 3])
    other.load_state_dict(part.state_dict())
    assert other.weight.tolist() == [1 / 3, 2 / 3]
    assert other.weight.dtype == torch.float64
