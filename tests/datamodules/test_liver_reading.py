"""A cohort is read once in a run of several stages, and again where a file has changed."""

import os

import numpy as np
from PIL import Image

from datamodules.liver import reading
from datamodules.liver.reading import ImageSizes, read_images
from datamodules.liver.records import Patient


def test_images_are_read_once_and_again_where_a_file_changed(tmp_path, monkeypatch):
    file = tmp_path / "tile_00.png"
    Image.new("RGB", (16, 16), (200, 100, 50)).save(file)
    fields = {"volumes": {}, "tiles": (file,)}
    patient = Patient.__new__(Patient)
    for name, value in fields.items():
        object.__setattr__(patient, name, value)
    sizes, calls = ImageSizes((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 1.0), 1, 16), []
    monkeypatch.setattr(reading, "_READ", {})
    tile = np.ones((1, 3, 16, 16), np.uint8)
    monkeypatch.setattr(ImageSizes, "read", lambda *arguments: calls.append(arguments) or tile)
    first = read_images([patient], np.array([True]), "histology", sizes)
    assert read_images([patient], np.array([True]), "histology", sizes) is first
    assert not read_images([patient], np.array([False]), "histology", sizes).any()
    assert len(calls) == 1
    os.utime(file, (1, 1))
    read_images([patient], np.array([True]), "histology", sizes)
    assert len(calls) == 2
