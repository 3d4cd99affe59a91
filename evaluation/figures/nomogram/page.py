"""A nomogram as a calculator in HTML, for a report: offline, without libraries, by keyboard or mouse."""

import html
import json
from collections.abc import Mapping
from typing import Any

from medzoo.evaluation.figures.nomogram.paper import axis_title, capitalised
from medzoo.evaluation.nomogram.axes import Axis, Categorical, Continuous
from medzoo.evaluation.nomogram.pretty import pretty
from medzoo.evaluation.nomogram.scale import Nomogram

__all__ = ["nomogram_html"]


def nomogram_html(
    nomogram: Nomogram,
    *,
    title: str = "Nomogram",
    outcome: str = "probability",
    names: Mapping[str, str] | None = None,
    case: Mapping[str, Any] | None = None,
    share: float | None = None,
    positive: str = "positive cases",
) -> str:
    """A section of a page with a field and a slider for each number, a list for levels, and the result.

    It follows the page's light or dark scheme, carries its own style and script, and asks the network for nothing.
    The script computes in double precision what `Nomogram.score` computes. It says when a value lies beyond the
    axis, and shows no result while one is missing.

    Args:
        nomogram: What to compute.
        title: Heading.
        outcome: What the probability is of, such as "risk of HLHS".
        names: What a field is called; by default the predictor's name with blanks for underscores.
        case: Values to start from; the middle of each axis and the first level by default.
        share: Of positive cases in the study: the page then says that the probability holds for it, and has a field for
            another prevalence (`evaluation.scores.prevalence`).
        positive: What these cases have, such as "HLHS".

    Returns:
        HTML to be placed in the body of a page; as a file of its own it opens as well.

    Raises:
        ValueError: If `case` lacks a predictor, or has a value that is not a number or a level.
    """
    if case is not None:
        nomogram.points(case)
    rows = "".join(_row(axis, names or {}, case) for axis in nomogram.axes)
    model = {
        "base": nomogram.base,
        "pointsPerUnit": nomogram.points_per_unit,
        "axes": [_effects(axis) for axis in nomogram.axes],
        "share": share,
    }
    data = json.dumps(model, allow_nan=False).replace("<", "\\u003c")
    texts = {"title": html.escape(title), "outcome": html.escape(capitalised(outcome)), "rows": rows, "data": data}
    field = _PREVALENCE.format(share=f"{share:.3g}", positive=html.escape(positive)) if share else ""
    holds = f"at the study's share of {positive} ({share:.0%})" if share else ""
    return _PAGE.format(style=_STYLE, script=_SCRIPT, prevalence=field, holds=html.escape(holds), **texts)


def _effects(axis: Axis) -> dict[str, Any]:
    """An axis for the script: the contribution of its values to the linear predictor, and the smallest of them."""
    effects = [effect for _, effect in axis.ticks]
    own = {"effects": effects} if isinstance(axis, Categorical) else {"coefficient": axis.coefficient}
    return {"least": min(effects), **own}


def _row(axis: Axis, names: Mapping[str, str], case: Mapping[str, Any] | None) -> str:
    """A row of the table: name, field and slider or list, points."""
    name = html.escape(axis_title(axis, names))
    if isinstance(axis, Continuous):
        value = float(case[axis.name]) if case else float(f"{(axis.low + axis.high) / 2:.3g}")
        ends = pretty(axis.low, axis.high)
        bounds = f'min="{ends[0]!r}" max="{ends[-1]!r}"'
        field = (
            f'<input type="number" step="any" value="{value!r}" data-low="{axis.low!r}" data-high="{axis.high!r}">'
            f'</label></td><td><input type="range" step="any" {bounds} value="{value!r}" aria-label="{name}, slider">'
        )
    else:
        chosen = case[axis.name] if case else next(iter(axis.effects))
        options = (
            f"<option{' selected' if level == chosen else ''}>{html.escape(level)}</option>" for level in axis.effects
        )
        field = f"<select>{''.join(options)}</select></label></td><td>"
    return f'<tr><td><label><span>{name}</span>{field}</td><td class="points"></td></tr>'


_STYLE = """
:root { color-scheme: light dark; }
.nomogram { max-width: 46rem; font: 15px/1.5 system-ui, sans-serif; color: CanvasText; }
.nomogram table { border-collapse: collapse; width: 100%; display: table; white-space: normal; }
.nomogram th, .nomogram td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #8884; text-align: left; }
.nomogram label { display: flex; gap: .6rem; justify-content: space-between; align-items: center; }
.nomogram [type=number], .nomogram select { width: 8rem; box-sizing: border-box; font: inherit; }
.nomogram [type=range] { width: 100%; min-width: 6rem; }
.nomogram .points { text-align: right; font-variant-numeric: tabular-nums; }
.nomogram :focus-visible { outline: 2px solid #0072B2; outline-offset: 2px; }
.nomogram output { display: block; margin: .8rem 0 .2rem; font-size: 1.15rem; }
.nomogram .note { min-height: 1.5em; margin: 0; }
"""
_SCRIPT = """
(() => {
  const section = document.currentScript.parentElement;
  const model = JSON.parse(section.querySelector("[type='application/json']").textContent);
  const rows = [...section.querySelectorAll("tbody tr")];
  const output = section.querySelector("output"), note = section.querySelector(".note");
  const asked = section.querySelector(".prevalence"), holds = output.querySelector(".holds").textContent;
  const show = () => {
    let total = 0;
    const missing = [], beyond = [];
    rows.forEach((row, k) => {
      const axis = model.axes[k], name = row.querySelector("label span").textContent;
      const number = row.querySelector("[type=number]"), list = row.querySelector("select");
      const value = number ? number.valueAsNumber : list.selectedIndex;
      const known = Number.isFinite(value);
      const effect = number ? axis.coefficient * value : axis.effects[value];
      const points = (effect - axis.least) * model.pointsPerUnit;
      row.querySelector(".points").textContent = known ? points.toFixed(1) : "\u2013";
      total += points;
      if (!known) missing.push(name);
      if (number) number.setAttribute("aria-invalid", String(!known));
      if (number && (value < Number(number.dataset.low) || value > Number(number.dataset.high)))
        beyond.push(`${name} (${number.dataset.low} to ${number.dataset.high})`);
    });
    const prevalence = asked ? asked.valueAsNumber : NaN;
    const moved = prevalence > 0 && prevalence < 1;
    const logit = p => Math.log(p / (1 - p));
    const shift = moved ? logit(prevalence) - logit(model.share) : 0;
    const probability = 1 / (1 + Math.exp(-(model.base + total / model.pointsPerUnit + shift)));
    const wrong = asked && asked.value !== "" && !moved;
    if (wrong) missing.push("prevalence between 0 and 1");
    if (asked) asked.setAttribute("aria-invalid", String(Boolean(wrong)));
    output.querySelector(".holds").textContent = moved ? `at a prevalence of ${prevalence}` : holds;
    const known = missing.length === 0;
    output.querySelector(".total").textContent = known ? total.toFixed(1) : "\u2013";
    output.querySelector(".probability").textContent = !known ? "\u2013"
      : moved ? `${probability.toPrecision(2)} (1 in ${Number((1 / probability).toPrecision(3)).toLocaleString("en")})`
      : probability < 0.001 ? "below 0.001" : probability > 0.999 ? "above 0.999" : probability.toFixed(3);
    section.dataset.probability = known ? String(probability) : "";
    section.dataset.points = known ? String(total) : "";
    note.textContent = !known ? `Give a number: ${missing.join(", ")}.`
      : beyond.length ? `Beyond the values that the model was fitted to: ${beyond.join(", ")}.` : "";
  };
  for (const row of rows) {
    const number = row.querySelector("[type=number]"), slider = row.querySelector("[type=range]");
    if (slider) {
      slider.addEventListener("input", () => { number.value = Number(slider.value).toPrecision(4); });
      number.addEventListener("input", () => { if (number.value) slider.value = number.value; });
    }
    row.addEventListener("input", show);
  }
  if (asked) asked.addEventListener("input", show);
  show();
})();
"""
_PREVALENCE = """<p><label><span>Prevalence of {positive} where it is used, if it is not the study's {share}</span>
<input class="prevalence" type="number" step="any" min="0" max="1" placeholder="{share}"></label></p>
"""
_PAGE = """<section class="nomogram" aria-label="{title}">
<style>{style}</style>
<h2>{title}</h2>
<table>
<thead><tr><th scope="col">Predictor</th><th></th><th scope="col" class="points">Points</th></tr></thead>
<tbody>{rows}</tbody>
</table>
{prevalence}<output aria-live="polite">Total points <b class="total"></b>. {outcome} <span class="holds">{holds}</span>
<b class="probability"></b></output>
<p class="note" role="status"></p>
<p>For research. It has not been validated for decisions about patients.</p>
<noscript>This calculator needs JavaScript; the figure gives the same numbers on paper.</noscript>
<script type="application/json">{data}</script>
<script>{script}</script>
</section>
"""
