"""Baselines get the cases and the inputs of the model that they are compared with, and nobody gets test cases.

Each experiment whose report has fitted baselines is trained small, with spies on what `finalize` asks the datamodule
for, on what every fit in it receives, and on what the table of the report compares. The checks take what the spies
saw, so that `test_an_unfair_baseline_is_found` can show them a baseline that was handicapped on purpose.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from medzoo.evaluation.nomogram.study import SCORE
from medzoo.runtime.training import fit as training
from medzoo.runtime.verbs.train import train
from tests.tiny import tiny

ASKED = ("ordered_dataloader", "unshared_dataloader", "table", "clinical", "cases")
"""Methods of datamodules by which `finalize` gets cases."""


@dataclass
class Seen:
    """What the spies saw: splits that were asked for, (inputs, truth) of each fit by name, names and rows of tables."""

    splits: set[str] = field(default_factory=set)
    fits: dict[str, list[tuple[np.ndarray, np.ndarray]]] = field(default_factory=lambda: defaultdict(list))
    compared: list[dict[str, np.ndarray]] = field(default_factory=list)
    module: Any = None
    data: Any = None
    listening: bool = False

    def note(self, name: str, inputs: Any, truth: Any) -> None:
        if self.listening:
            self.fits[name].append((np.array(inputs, float), np.array(truth)))

    @contextmanager
    def heard(self, on: bool):
        before, self.listening = self.listening, on
        yield
        self.listening = before


def learner(seen: Seen, name: str, fit: Callable[..., Any]) -> Callable[..., Any]:
    def spied(x, positive):
        seen.note(name, x, positive)
        return fit(x, positive)

    return spied


def spies(seen: Seen) -> dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """By the place where a name is looked up, what stands in for it: notes what it is given, and calls the real one."""

    def noted(name: str, truth: int) -> Callable[..., Any]:
        def spy(real):
            def spied(inputs, *rest, **options):
                seen.note(name, inputs, rest[truth])
                return real(inputs, *rest, **options)

            return spied

        return spy

    def tabled(real):
        def spied(*given, **options):
            seen.compared.append(named_rows(given))
            return real(*given, **options)

        return spied

    def unheard(real):
        def spied(*given):
            with seen.heard(False):
                return real(*given)

        return spied

    def of_learners(real):
        return lambda *given: {name: learner(seen, name, fit) for name, fit in real(*given).items()}

    def of_regression(real):
        return lambda names, *rest: learner(seen, ", ".join(names), real(names, *rest))

    def of_boosting(real):
        return lambda names: (real(names)[0], learner(seen, "boosting", real(names)[1]))

    return {
        "evaluation.nomogram.study.learners": of_learners,
        "evaluation.nomogram.study.regression": of_regression,
        "lightning_modules.nomogram.fit.optimism_rows": unheard,  # its resamples are no cases
        "lightning_modules.diffusion.forecast.fit_risk": noted("risk model", 0),
        "lightning_modules.diffusion.forecast.fit_baselines": noted("baselines", 1),
        "evaluation.regression.growth.fit_risk": noted("risk of the baselines", 0),
        "lightning_modules.fusion.fits.boosting": of_boosting,
        "lightning_modules.vae.probed.fit_probe": noted("code", 0),
        "lightning_modules.vae.probed.fit_pixel_probes": noted("pixels", 1),
        "lightning_modules.vae.probed.fit_learners": noted("forest and SVM", 0),
        "callbacks.nomogram.tables.model_rows": tabled,
        "callbacks.reports.fusion.report.compare_representations": tabled,
        "callbacks.reports.representations.compare_representations": tabled,
        "callbacks.reports.followup.report.comparison_table": tabled,
    }


def named_rows(given: tuple[Any, ...]) -> dict[str, np.ndarray]:
    """Predictions by name of all mappings among a table's arguments, without readers, who have not read every case."""
    tables = [each for each in given if isinstance(each, Mapping)]
    rows = [(name, getattr(value, "samples", value)) for table in tables for name, value in table.items()]
    return {name: value for name, value in rows if isinstance(value, np.ndarray)}


def watched(patch: pytest.MonkeyPatch, experiment: str, folder: Any, data: Any, *more: str) -> Seen:
    """Train an experiment, made small, and return what the spies saw of its last stage that fits baselines."""
    seen = Seen()
    for place, spy in spies(seen).items():
        room, _, name = place.rpartition(".")
        patch.setattr(f"medzoo.{place}", spy(getattr(import_module(f"medzoo.{room}"), name)))
    real = training.finalize

    def finalize(trainer, module, datamodule):
        seen.fits.clear()
        seen.module, seen.data = module, datamodule
        with pytest.MonkeyPatch.context() as inner, seen.heard(True):
            for name in (name for name in ASKED if hasattr(datamodule, name)):
                inner.setattr(datamodule, name, asked(seen, name, getattr(datamodule, name)), raising=False)
            real(trainer, module, datamodule)

    patch.setattr(training, "finalize", finalize)
    train(tiny(experiment, folder, data, *more, max_epochs=1))
    return seen


def asked(seen: Seen, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def spied(*splits):
        seen.splits |= set(splits) if name != "unshared_dataloader" else {"train"}
        return real(*splits)

    return spied


def check_nomogram(seen: Seen) -> None:
    """All comparators get all predictors of all development cases, and are held out on the same folds."""
    record = seen.module.nomogram.record
    names = record["names"]
    regressions = {name: fits for name, fits in seen.fits.items() if set(name.split(", ")) <= {*names}}
    own = regressions[", ".join(names)]
    inputs: dict[bytes, np.ndarray] = {}
    for x, positive in own:  # the nomogram's fits come first, then those with another aggregate of the score
        inputs.setdefault(positive.tobytes(), x)
    cases = seen.data.cases("train", "val")
    assert len(own[0][0]) == len(cases.names), "all development cases"
    assert {name for name, *_ in record["models"]} >= {"random forest", "decision tree", "SVM", "MLP"}
    for name, fits in seen.fits.items():
        if name in regressions:
            kept = [names.index(one) for one in name.split(", ")]
            assert len(kept) == len(names) or SCORE in names, (
                f"{name}: a part of the predictors, with no score to judge"
            )
        else:
            kept = [*range(len(names))]
        assert {positive.tobytes() for _, positive in fits} == {*inputs}, f"{name}: other cases, or in other folds"
        for x, positive in fits[: len(inputs)]:
            same = np.array_equal(x, inputs[positive.tobytes()][:, kept], equal_nan=True)
            assert same, f"{name}: other predictors than the nomogram"


def check_followup(seen: Seen) -> None:
    """The baselines get the clinical values and labels that the model's own risk gets, of all training patients.

    Those that see the scan get its signs too.
    """
    ((own, label),) = seen.fits["risk model"]
    known = len(seen.module.variables)
    assert own.shape == (len(seen.data.split["train"]), known + len(seen.module.signs))
    ((x, truth),) = seen.fits["baselines"]
    assert np.array_equal(x, own[:, :known], equal_nan=True), "baselines: other clinical values"
    assert len(truth) == len(label)
    table, signs = seen.fits["risk of the baselines"]
    assert np.array_equal(table[0], own[:, :known], equal_nan=True), "risk of the table: other clinical values"
    assert np.array_equal(signs[0], own, equal_nan=True), "risk with signs: other inputs than the model's"
    for _, expands in (table, signs):
        assert np.array_equal(expands, label), "the same patients expand"


def check_fusion(seen: Seen) -> None:
    """Boosting gets the clinical values that the encoder gets, of all training patients who have them."""
    ((x, truth),) = seen.fits["boosting"]
    place, rows, labels = seen.module.modalities.index("clinical"), [], []
    for batch in seen.data.ordered_dataloader("train"):
        has = batch["present"][:, place].bool()
        rows.append(batch["clinical"][has].numpy())
        labels.append(batch["label"][has].numpy())
    assert np.allclose(x, np.concatenate(rows), equal_nan=True), "other clinical values than the encoder's"
    assert np.array_equal(truth, np.concatenate(labels) == 1)


def check_representations(seen: Seen) -> None:
    """Every regression gets the same training images; pixels are all that the network sees."""
    parts = [batch["image"].flatten(1).numpy() for batch in seen.data.ordered_dataloader("train")]
    images = np.concatenate(parts)
    count = len(images)
    assert len(seen.fits["code"]) == 3
    label = seen.fits["code"][0][1]
    for name, fits in seen.fits.items():
        for x, truth in fits:
            assert len(x) == count, f"{name}: {len(x)} of {count} training images"
            assert np.array_equal(truth, label), f"{name}: other labels"
    pixels = seen.fits["pixels"][0][0]
    assert pixels.shape == images.shape, "pixels: fewer than the network sees"
    assert np.allclose(pixels, images), "pixels: of other images"


CHECKS = {
    "nomogram": check_nomogram,
    "hlhs": check_nomogram,
    "hemexp": check_followup,
    "liver_fusion": check_fusion,
    "medmnist_cvae": check_representations,
}
MORE = {"hlhs": ["lightning_module.nomogram.resamples=3"], "medmnist_cvae": ["datamodule.size=28"]}


@pytest.fixture(scope="module", params=CHECKS)
def seen(request, phantoms, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDZOO_TEST_STOP_AFTER", "1")
        patch.setenv("MEDZOO_TRUST", "tests")
        folder = tmp_path_factory.mktemp(request.param)
        yield request.param, watched(patch, request.param, folder, phantoms, *MORE.get(request.param, []))


def check_table(seen: Seen) -> None:
    """Rows of the report's table are predictions of the same test cases, none of them missing."""
    assert seen.compared
    for rows in seen.compared:
        assert len(rows) > 1
        assert len({len(each) for each in rows.values()}) == 1, {name: len(each) for name, each in rows.items()}
        assert all(np.isfinite(each).all() for each in rows.values())


def test_baselines_are_fitted_to_what_the_model_is_fitted_to(seen):
    experiment, found = seen
    assert found.splits <= {"train", "val"}, "no test case is asked for before the test"
    CHECKS[experiment](found)
    check_table(found)


def test_an_unfair_baseline_is_found(seen):
    """The checks fail for a baseline without an input, on fewer cases, or judged on fewer cases."""
    experiment, found = seen
    name = {"hemexp": "baselines", "liver_fusion": "boosting", "medmnist_cvae": "pixels"}.get(experiment, "SVM")
    x, truth = found.fits[name][0]
    for handicapped in ((np.roll(x, 1, axis=0), truth), (x[:-1], truth[:-1]), (x[:, :-1], truth)):
        rest = found.fits[name][1:]
        unfair = Seen(
            found.splits, {**found.fits, name: [handicapped, *rest]}, found.compared, found.module, found.data
        )
        with pytest.raises((AssertionError, ValueError)):
            CHECKS[experiment](unfair)
    fewer = dict(found.compared[-1])
    fewer[[*fewer][-1]] = fewer[[*fewer][-1]][:-1]
    with pytest.raises(AssertionError):
        check_table(Seen(compared=[fewer]))
