import json

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks.pixel_forest import TREES, cross_validate, fit_and_test, main, views
from tests.conftest import SMALL


class Data:
    """Images of two classes that differ in brightness on the left."""

    class_names = ("dark", "bright")

    def __init__(self):
        rng = np.random.default_rng(0)
        self.splits = {name: self.images(rng, count) for name, count in (("train", 60), ("val", 20), ("test", 30))}

    def images(self, rng, count):
        label = np.arange(count) % 2
        image = rng.normal(size=(count, 1, 28, 28))
        image[label == 1, :, :, :14] += 1
        return torch.tensor(image), torch.tensor(label)

    def ordered_dataloader(self, split):
        image, label = self.splits[split]
        ids = [f"{split}_{index}" for index in range(len(label))]
        for start in range(0, len(label), 16):
            part = slice(start, start + 16)
            yield {"image": image[part], "label": label[part], "id": ids[part]}


def test_views_are_small_images_with_all_flips():
    image = torch.rand(3, 1, 28, 28)
    found = views(image, [0, 1])
    assert found.shape == (4, 3, 14 * 14)
    small = image.reshape(3, 14, 2, 14, 2).mean((2, 4))
    for each, axes in zip(found, ([], [1], [2], [1, 2]), strict=True):
        assert torch.allclose(each, small.flip(axes).flatten(1))
    assert views(torch.rand(2, 1, 28, 28, 28), []).shape == (1, 2, 7**3)
    assert views(torch.rand(2, 3, 8, 20), []).shape == (1, 2, 3 * 8 * 14), "nothing is enlarged"


def test_the_forest_is_that_of_scikit_learn_on_images_and_flips():
    data = Data()
    found = fit_and_test(data, [0], seed=3)
    train, test = (views(data.splits[name][0], [0]).numpy() for name in ("train", "test"))
    forest = ExtraTreesClassifier(TREES, random_state=3).fit(np.concatenate([*train]), [*[0, 1] * 30] * 2)
    assert np.allclose(found["prob"], (forest.predict_proba(test[0]) + forest.predict_proba(test[1])) / 2)
    assert found["id"][:2] == ["test_0", "test_1"]
    assert (found["prob"].argmax(1) == found["label"]).mean() > 0.9


def test_a_cross_validation_predicts_every_image_but_those_of_the_test_once():
    data = Data()
    del data.splits["test"]
    found = cross_validate(data, [0], seed=0, folds=4)
    assert len(found) == 4
    assert all(row["auc"] > 0.9 for row in found)
    data.splits = {name: (image, label[torch.randperm(len(label))]) for name, (image, label) in data.splits.items()}
    assert np.mean([row["auc"] for row in cross_validate(data, [], 0, 4)]) == pytest.approx(0.5, abs=0.2)


def test_it_takes_the_words_of_a_run_and_writes_its_folder(tmp_path):
    run = tmp_path / "run"
    main([*SMALL, f"datamodule.root={tmp_path / 'data'}", "seed=2", f"hydra.run.dir={run}"])
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() == {"test/auc", "test/acc", "fit/minutes"}
    rows = (run / "predictions" / "test.csv").read_text().splitlines()
    assert len(rows) == 1 + 24
    assert rows[0].startswith("id,predicted,p_")
    assert "commit: " in (run / "environment.txt").read_text()


def test_several_labels_are_refused(tmp_path):
    words = ["experiment=medmnist_classification", "datamodule.name=chestmnist", f"datamodule.root={tmp_path}"]
    with pytest.raises(ValueError, match="one label for each image"):
        main(words)
