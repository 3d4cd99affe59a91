import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from medzoo.datamodules.io.pictures.labels import class_colours, read_label_picture

LABELS = np.repeat(np.repeat(np.array([[0, 1], [2, 0]], np.uint8), 24, 0), 24, 1)
COLOURS = [(0, 0, 0), (255, 0, 0), (0, 80, 210)]
PAINTED = np.array(COLOURS, np.uint8)[LABELS]


def saved(folder, array, name="x.png", **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(folder / name, **options)
    return folder / name


def palette(colours, indices=LABELS):
    image = Image.fromarray(indices, "P")
    image.putpalette([level for colour in colours for level in colour])
    return image


@pytest.mark.parametrize("kind", ["u1", "u2", "i4", "f4"])
def test_label_values(tmp_path, kind):
    assert np.array_equal(read_label_picture(saved(tmp_path, LABELS.astype(kind), "x.tif"), 3), LABELS)


def test_levels_as_predictions_are_written(tmp_path):
    assert np.array_equal(read_label_picture(saved(tmp_path, LABELS * 127), 3), LABELS)
    with pytest.raises(ValueError, match=r"x.png: holds the values 255; expected label values 0 to 2"):
        read_label_picture(saved(tmp_path, 255 * (LABELS > 0).astype(np.uint8)), 3)


def test_indices_of_a_palette_whose_first_is_black_are_labels(tmp_path):
    assert np.array_equal(read_label_picture(saved(tmp_path, palette(COLOURS)), 3), LABELS)


def test_a_palette_that_begins_otherwise_is_colours(tmp_path):
    turned = palette([(255, 255, 255), (0, 0, 0)], (LABELS == 0).astype(np.uint8))  # index 1 is black
    assert np.array_equal(read_label_picture(saved(tmp_path, turned)), LABELS > 0)
    one = palette([(0, 0, 0), (9, 9, 9), (255, 0, 0)], 2 * (LABELS > 0).astype(np.uint8))
    assert np.array_equal(read_label_picture(saved(tmp_path, one)), LABELS > 0)


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_are_label_values(tmp_path, bits):
    rows = [(row.reshape(-1, 8 // bits) << np.arange(8 - bits, -1, -bits)).sum(1).astype(np.uint8) for row in LABELS]
    head = struct.pack(">IIBBBBB", 48, 48, bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    content = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts]
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
    assert np.array_equal(read_label_picture(tmp_path / "x.png", 3), LABELS)


@pytest.mark.parametrize("top", [1, 255, 65535])
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_two_tones(tmp_path, top, kind):
    if top <= np.iinfo(kind).max:
        file = saved(tmp_path, ((LABELS > 0) * top).astype(kind))
        assert np.array_equal(read_label_picture(file), LABELS > 0)


def test_two_tones_of_any_colour_one_of_them_dark(tmp_path):
    assert np.array_equal(read_label_picture(saved(tmp_path, PAINTED * (LABELS == 2)[..., None])), LABELS == 2)
    with pytest.raises(ValueError, match=r"of its colours \[0, 80, 210\], \[255, 0, 0\] none is dark"):
        read_label_picture(saved(tmp_path, np.array(COLOURS, np.uint8)[1 + (LABELS > 0)]))
    assert not read_label_picture(saved(tmp_path, PAINTED * 0)).any()
    assert read_label_picture(saved(tmp_path, LABELS > -1)).all()


def test_narrow_masks_are_masks(tmp_path):
    assert read_label_picture(saved(tmp_path, np.array([[0, 200, 0]] * 5, np.uint8))).sum() == 5
    with pytest.raises(ValueError, match="holds 3 colours, such as 0, 90, 200"):
        read_label_picture(saved(tmp_path, np.array([[0, 90, 200]] * 5, np.uint8)))


def test_more_than_two_colours_need_a_name_each(tmp_path):
    file = saved(tmp_path, PAINTED)
    with pytest.raises(ValueError, match=r"x.png: holds 3 colours, such as .*\[0, 80, 210\].*datamodule.classes=\{"):
        read_label_picture(file)
    with pytest.raises(ValueError, match=r"holds colours such as .*; expected label values 0 to 2; 'datamodule"):
        read_label_picture(file, 3)
    assert np.array_equal(read_label_picture(file, colours=COLOURS), LABELS)
    assert np.array_equal(read_label_picture(saved(tmp_path, palette(COLOURS)), colours=COLOURS), LABELS)
    with pytest.raises(ValueError, match=r"x.png: 576 pixels have colours of no class, such as \[0, 80, 210\]; 'data"):
        read_label_picture(file, colours=COLOURS[:2])


def test_the_transparent_is_background(tmp_path):
    drawn = np.dstack([PAINTED, np.where(LABELS > 0, 90, 0).astype(np.uint8)])
    drawn[LABELS == 0, :3] = 99
    assert np.array_equal(read_label_picture(saved(tmp_path, drawn), colours=[(255, 255, 255), *COLOURS[1:]]), LABELS)


def test_a_jpeg_blurs_two_tones_and_loses_more(tmp_path, caplog):
    truth = np.roll(LABELS > 0, (3, 5), (0, 1))  # across the blocks of a JPEG
    tones = np.dstack([255 * truth.astype(np.uint8)] * 3)
    read = read_label_picture(saved(tmp_path, tones, "x.jpg", quality=60))
    assert (read != truth).mean() < 0.01
    assert "masks are JPEG, which blurs their edges" in caplog.text
    file = saved(tmp_path, PAINTED, "y.jpg", quality=90)
    with pytest.raises(ValueError, match=r"y.jpg: holds 3 colours"):
        read_label_picture(file)
    with pytest.raises(ValueError, match="a JPEG changes colours: save it as PNG"):
        read_label_picture(file, colours=COLOURS)
    with pytest.raises(ValueError, match="a JPEG changes them: save it as PNG"):
        read_label_picture(saved(tmp_path, LABELS * 100, "z.jpg"), 3)


def test_fractions_and_strange_values_are_told(tmp_path):
    with pytest.raises(ValueError, match="no whole numbers"):
        read_label_picture(saved(tmp_path, LABELS.astype(np.float32) / 2, "x.tif"))
    with pytest.raises(ValueError, match="no whole numbers"):
        read_label_picture(saved(tmp_path, np.array([[0, np.nan]], np.float32), "x.tif"))
    with pytest.raises(ValueError, match="holds the values 7; expected label values 0 to 3"):
        read_label_picture(saved(tmp_path, LABELS * 0 + 7), 4)
    with pytest.raises(ValueError, match="its brightest pixel is 2; a mask holds 0 and 1, or 255"):
        read_label_picture(saved(tmp_path, LABELS))


def test_the_background_comes_first():
    red, white, black = [255, 0, 0], [255, 255, 255], [0, 0, 0]
    assert class_colours({"liver": red}) == {"background": (0, 0, 0), "liver": (255, 0, 0)}
    assert [*class_colours({"liver": red, "background": white})] == ["background", "liver"]
    assert [*class_colours({"liver": red, "nothing": black})] == ["nothing", "liver"]
    assert [*class_colours({"gland": black, "background": white})] == ["background", "gland"]
    with pytest.raises(ValueError, match="liver and spleen are both"):
        class_colours({"liver": red, "spleen": red})
    for wrong in ([255, 0], [256, 0, 0], [0.5, 0, 0], "red", 3):
        with pytest.raises(ValueError, match=r"a colour is .red, green, blue., 0 to 255"):
            class_colours({"liver": wrong})
