import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest

from medzoo.evaluation.figures import nomogram_figure, nomogram_html
from medzoo.evaluation.nomogram.axes import Categorical, Continuous
from medzoo.evaluation.nomogram.scale import Nomogram
from tests.evaluation.nomogram.test_scale import CASE, GOLDEN

MIXED = Nomogram(
    -9.0,
    [
        Continuous("LV_diameter", -0.55, 3.1, 14.9, "mm"),
        Continuous("image_score", 9.0, 0.0, 1.0),
        Continuous("age", 0.02, 19, 44, "years"),
        Categorical("parity", {"nulliparous": 0.0, "primiparous": 0.2, "multi < 5": 1.5}),
    ],
    (-14, 9),
)


def drawn_texts(figure):
    figure.canvas.draw()
    return [text for text in figure.axes[0].texts if text.get_text()]


def test_rows_stand_in_the_usual_order_and_labels_at_their_points():
    figure = nomogram_figure(GOLDEN, outcome="risk of HLHS")
    texts = drawn_texts(figure)
    titles = [text.get_text() for text in texts if text.get_position()[0] < 0]
    rows = ["LV diameter", "LV area", "LA RA area ratio", "LV RV area ratio", "Image score"]
    assert titles == ["Points", *rows, "Total points", "Linear predictor", "Risk of HLHS"]
    for row, axis in enumerate(GOLDEN.axes, 1):
        places = {text.get_text(): text.get_position()[0] for text in texts if row < text.get_position()[1] < row + 0.4}
        for label, points in GOLDEN.ticks(axis):
            assert places.get(label, points / 100) == pytest.approx(points / 100)
        assert len([text for text in places if text in dict(GOLDEN.ticks(axis))]) >= 4
    risks = {text.get_text(): text.get_position()[0] for text in texts if text.get_position()[1] > 8}
    assert risks["0.5"] == pytest.approx(210 / 300)
    assert not {"0.01", "0.9", "0.99"} & set(risks)


@pytest.mark.parametrize("nomogram", [GOLDEN, MIXED])
def test_no_labels_touch_and_all_are_on_the_page(nomogram):
    figure = nomogram_figure(nomogram)
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure)]
    for k, (label, box) in enumerate(boxes):
        assert box.x0 >= 0, label
        assert box.x1 <= figure.bbox.width, label
        for other, there in boxes[:k]:
            assert not (
                min(box.x1, there.x1) > max(box.x0, there.x0) + 0.5
                and min(box.y1, there.y1) > max(box.y0, there.y0) + 0.5
            ), (label, other)


def test_an_example_is_read_off():
    said = " ".join(text.get_text() for text in drawn_texts(nomogram_figure(GOLDEN, case=CASE)))
    for part in ("0.6: 45.7 points", "192.9 points", "\N{MINUS SIGN}0.36", "0.411"):
        assert part in said


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_it_is_saved_as_a_picture(kind, tmp_path):
    nomogram_figure(MIXED, names={"age": "Age of the mother"}).savefig(tmp_path / f"nomogram.{kind}", dpi=300)
    assert (tmp_path / f"nomogram.{kind}").stat().st_size > 10_000
    if kind == "svg":
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            nomogram_figure(MIXED, names={"age": "Age of the mother"}).savefig(tmp_path / "text.svg")
        assert "Age of the mother [years]" in (tmp_path / "text.svg").read_text()


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.opened, self.closed, self.attributes = [], [], []

    def handle_starttag(self, tag, attributes):
        self.opened.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_endtag(self, tag):
        self.closed.append(tag)


def test_the_page_is_whole_escaped_and_asks_nobody():
    page = nomogram_html(MIXED, title="<b>Title</b> & more", names={"age": "Age </script>"})
    assert "<b>Title" not in page
    assert page.count("</script>") == 2
    assert "multi &lt; 5" in page
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    tags = Tags()
    tags.feed(page)
    for tag in ("section", "table", "tr", "td", "th", "label", "select", "output", "script", "style"):
        assert tags.opened.count(tag) == tags.closed.count(tag), tag
    assert tags.opened.count("input") == 6
    assert sum(attribute[:2] == ("input", "aria-label") for attribute in tags.attributes) == 3
    assert ("output", "aria-live", "polite") in tags.attributes
    model = json.loads(re.search(r"application/json\">(.*?)</script>", page, re.DOTALL)[1])
    assert model["base"] == MIXED.base
    assert model["pointsPerUnit"] == MIXED.points_per_unit
    with pytest.raises(ValueError, match="parity: 'none'"):
        nomogram_html(MIXED, case={"LV_diameter": 5, "image_score": 0.2, "age": 30, "parity": "none"})


def browser():
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser runs the calculator: none of {', '.join(names)} is on the path")
    return found


_DRIVER = """<script>
const section = document.querySelector(".nomogram"), rows = [...section.querySelectorAll("tbody tr")];
const fields = rows.map(row => row.querySelector("[type=number], select"));
const said = CASES.map(values => {
  values.forEach((value, k) => {
    fields[k].value = value;
    fields[k].dispatchEvent(new Event("input", {bubbles: true}));
  });
  return [section.dataset.points, section.dataset.probability, section.querySelector(".note").textContent,
          section.querySelector(".probability").textContent];
});
const slider = section.querySelector("[type=range]");
slider.value = slider.max;
slider.dispatchEvent(new Event("input", {bubbles: true}));
said.push([fields[0].value, slider.max]);
document.title = JSON.stringify(said);
</script>"""


def run_in_browser(page, cases, tmp_path):
    file = tmp_path / "page.html"
    head = "<!doctype html><html lang='en'><meta charset='utf-8'><title>x</title><body>"
    file.write_text(f"{head}{page}{_DRIVER.replace('CASES', json.dumps(cases))}</body></html>")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run([browser(), *options, file.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(html.unescape(re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)[1]))


def test_a_browser_computes_what_the_model_says(tmp_path):
    rng = np.random.default_rng(0)
    levels = list(MIXED.axes[3].effects)
    cases = [
        [float(rng.uniform(3.1, 14.9)), float(rng.random()), float(rng.integers(19, 45)), str(rng.choice(levels))]
        for _ in range(50)
    ]
    names = [axis.name for axis in MIXED.axes]
    beyond, missing = [20.0, 0.5, 30.0, levels[0]], ["", 0.5, 30.0, levels[0]]
    *said, empty, slid = run_in_browser(nomogram_html(MIXED), [*cases, beyond, missing], tmp_path)
    for values, (points, probability, note, shown) in zip([*cases, beyond], said, strict=True):
        expected = MIXED.score(dict(zip(names, values, strict=True)))
        assert float(points) == pytest.approx(expected.points, abs=1e-9)
        assert float(probability) == pytest.approx(expected.probability, abs=1e-12)
        extreme = "below 0.001" if expected.probability < 0.001 else "above 0.999"
        inside = 0.001 <= expected.probability <= 0.999
        assert shown == (f"{float(probability):.3f}" if inside else extreme)
        assert ("Beyond" in note) == (values is beyond)
    assert empty[:2] == ["", ""]
    assert empty[2] == "Give a number: LV diameter [mm]."
    assert empty[3] == "\N{EN DASH}"
    assert float(slid[0]) == float(slid[1]) == 15


def test_a_page_starts_from_a_case(tmp_path):
    *_, slid = run_in_browser(nomogram_html(GOLDEN, case=CASE), [list(CASE.values())], tmp_path)
    assert float(slid[0]) == 1.4
    page = nomogram_html(GOLDEN, case=CASE)
    assert re.findall(r'type="number" step="any" value="([^"]*)"', page) == [f"{value!r}" for value in CASE.values()]


def test_a_browser_moves_the_probability_to_another_prevalence(tmp_path):
    page = nomogram_html(GOLDEN, case=CASE, share=0.24, positive="HLHS")
    asked = """<script>
const field = document.querySelector(".prevalence");
field.value = "0.00025";
field.dispatchEvent(new Event("input", {bubbles: true}));
</script>"""
    (point, probability, _, shown), _ = run_in_browser(page + asked, [list(CASE.values())], tmp_path)
    linear = GOLDEN.score(CASE).linear_predictor + np.log(0.00025 / 0.99975 * 0.76 / 0.24)
    assert float(point) == pytest.approx(GOLDEN.score(CASE).points)
    assert float(probability) == pytest.approx(1 / (1 + np.exp(-linear)), rel=1e-9)
    assert shown.endswith(")")
    assert "(1 in " in shown
