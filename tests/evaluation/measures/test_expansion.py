import pytest

from medzoo.evaluation.measures.expansion import ExpansionRule


@pytest.mark.parametrize(
    ("baseline", "followup", "expanded"),
    [
        (30.0, 36.0, True),
        (30.0, 35.99, False),
        (10.0, 13.3, True),
        (10.0, 13.29, False),
        (20.1, 26.1, True),  # 26.1 - 20.1 is just below 6 in floating point
        (30.0, 20.0, False),
        (0.0, 0.0, False),
        (0.0, 0.5, True),
    ],
)
def test_the_usual_rule_at_its_borders(baseline, followup, expanded):
    assert bool(ExpansionRule()(baseline, followup)) is expanded


def test_parts_of_the_rule_can_be_left_out_changed_or_made_strict():
    assert not ExpansionRule(abs_ml=None)(30, 36), "33% alone"
    assert ExpansionRule(rel=None)(30, 36)
    assert not ExpansionRule(rel=None, op=">")(30, 36)
    assert ExpansionRule(rel=None, op=">")(30, 36.01)
    assert ExpansionRule(abs_ml=12.5, rel=0.26)(10, 12.6)
    assert ExpansionRule(include_ivh=True).kinds == ("iph", "ivh")
    assert ExpansionRule()([10, 30], [13.3, 31]).tolist() == [True, False]
    assert not ExpansionRule(abs_ml=0)(10, 10), "what does not grow has not expanded"


@pytest.mark.parametrize("options", [{"abs_ml": None, "rel": None}, {"abs_ml": -1}])
def test_a_rule_without_thresholds_is_told(options):
    with pytest.raises(ValueError, match="at least one threshold, and none below 0"):
        ExpansionRule(**options)
