import pytest

from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures.style import new_figure


def test_csv_is_all_or_nothing(tmp_path):
    write_csv(tmp_path / "deep" / "x.csv", [{"a": 1}])
    with pytest.raises(ValueError, match="fields not in"):
        write_csv(tmp_path / "deep" / "x.csv", [{"a": 1}, {"a": 2, "b": 3}])
    assert (tmp_path / "deep" / "x.csv").read_text().split() == ["a", "1"], "the earlier file is untouched"


@pytest.mark.parametrize("phantom", [True, False])
def test_figures_of_phantoms_say_so_and_others_do_not(tmp_path, phantom):
    figure, _ = new_figure(3, 2)
    data = type("Data", (), {"phantom": phantom})
    save_figures(type("Run", (), {"datamodule": data, "loggers": [], "default_root_dir": tmp_path}), {"one": figure})
    assert (tmp_path / "figures" / "one.png").is_file()
    assert [text.get_text() for text in figure.texts] == ["phantom"] * phantom
