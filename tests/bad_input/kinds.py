"""Every kind of bad input: what is written, into which layouts, and what is to be said, or that it is read rightly."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bad_input import harm_pictures as p
from tests.bad_input import harm_tables as t
from tests.bad_input import harm_volumes as v
from tests.bad_input.layouts import LAYOUTS

Harm = Callable[[Path, Path], Path | None]


@dataclass(frozen=True)
class Kind:
    """A kind of bad input.

    Attributes:
        target: Of the files of a layout the one that is harmed: volume, mask, picture, coloured, table, npz, json,
            folder, or series.
        harm: Takes this file and the root; returns the file that a message is to name where that is another.
        words: In the one line with which a verb ends by exit code 2; a pattern. Empty where the data are read.
        where: Layouts; all that have such a file by default.
        verbs: That meet it; all by default.
        told: In the log, where the data are read; a pattern.
        same: Whether predictions on it are those on the good data.
        named: Whether the message names the file.
        bomb: Whether little memory may be taken.
    """

    target: str
    harm: Harm
    words: str = ""
    where: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("train", "prepare", "predict")
    told: str = ""
    same: bool = False
    named: bool = True
    bomb: bool = False

    @property
    def layouts(self) -> list[str]:
        """Names of the layouts that it goes through."""
        return [
            name for name, layout in LAYOUTS.items() if self.target in layout.files and name in (self.where or LAYOUTS)
        ]


DAMAGED = "cut short or damaged|could not be read as"
CT = ("nnunet", "followup", "liver", "unlabelled")
FEW = ("nnunet", "followup")  # volumes of which one reader is as good as another
READ = ("train", "prepare")  # what is learnt from: labels and masks, which predictions need not have
MEASURED = ("followup", "hearts", "liver", "cases")
PATIENTS = ("followup", "hearts", "liver")


def cell(text: str) -> Harm:
    """An age of this text."""
    return lambda file, root: t.with_cell(file, text)


def said(**values: object) -> Harm:
    """A dataset.json of these values."""
    return lambda file, root: t.said(file, **values)


KINDS = {
    # volumes
    "cut short": Kind("volume", v.cut_short, DAMAGED),
    "byte flipped within gzip": Kind("volume", v.flipped_byte, DAMAGED),
    "checksum of gzip wrong": Kind("volume", v.wrong_checksum, DAMAGED, FEW),
    "compressed twice": Kind("volume", v.compressed_twice, DAMAGED, FEW),
    "empty file": Kind("volume", v.empty, DAMAGED),
    "folder called as a volume": Kind(
        "volume", v.folder, f"{DAMAGED}|no .*ct.nii.gz|no file", ("nnunet", "followup", "unlabelled")
    ),
    "wrong magic": Kind("volume", v.wrong_magic, DAMAGED, FEW),
    "web page for a volume": Kind("volume", v.web_page, DAMAGED),
    "image missing": Kind(
        "volume", v.missing, r"no .*ct\.nii\.gz|b.*has no image|image", ("nnunet", "followup"), READ, named=False
    ),
    "link to itself": Kind("volume", v.link_to_itself, "no |Too many|could not", ("nnunet", "volumes", "followup")),
    "not allowed to be read": Kind("volume", v.not_allowed, "Permission denied", FEW),
    "several volumes in a file": Kind("volume", v.four_axes, "2 volumes in one file"),
    "affine that spans no volume": Kind("volume", v.flat_affine, "spans no volume.*export it again", FEW),
    "affine of NaN": Kind("volume", v.affine_of_nan, "export it again|could not be read"),
    "spacing of 0": Kind("volume", v.spacing_of_zero, "export it again|could not be read"),
    "spacing of NaN": Kind("volume", v.spacing_of_nan, "export it again|could not be read", FEW),
    "spacing of a metre": Kind("volume", v.huge_spacing, "the unit or the spacing of its header is wrong"),
    "spacing of 0.1 micrometres": Kind("volume", v.tiny_spacing, "the unit or the spacing of its header is wrong", FEW),
    "unit of metres": Kind("volume", v.metres, "is in metres"),
    "unit of micrometres": Kind("volume", v.micrometres, "is in micrometres", FEW),
    "more voxels than the file can hold": Kind(
        "volume", v.bomb, "cannot hold the 1500 x 1500 x 1500 voxels", bomb=True
    ),
    "more voxels than any memory": Kind("volume", v.more_than_all_memory, "voxels; expected at most", bomb=True),
    "CT without its rescale intercept": Kind("volume", v.offset_missing, "rescale intercept is missing", CT),
    "CT as grey values": Kind("volume", v.grey_values, "expected HU", ("liver",)),
    "NaN in a volume": Kind("volume", v.not_a_number, "holds NaN or infinite intensities"),
    "infinity in a volume": Kind("volume", v.infinite, "holds NaN or infinite intensities", FEW),
    "colours in a volume": Kind("volume", v.colours, "colours, complex", FEW),
    "complex numbers": Kind("volume", v.complex_numbers, "colours, complex", FEW),
    "NRRD cut short": Kind("volume", v.nrrd_cut_short, DAMAGED, ("volumes",)),
    "MetaImage without its voxels": Kind("volume", v.mhd_without_voxels, r"p02\.raw are not there", ("volumes",)),
    "array of objects": Kind("volume", v.array_of_objects, "holds Python objects, which are not loaded", ("volumes",)),
    "array header of 480 GB": Kind("volume", v.array_header_of_a_bomb, "there are", ("volumes",), bomb=True),
    "last axis of 1": Kind("volume", v.last_axis_of_one, same=True),
    "pixdim against the affine": Kind("volume", v.pixdim_against_affine, told="the affine counts", same=True),
    "sheared affine": Kind("volume", v.sheared),
    "name in capitals": Kind("volume", v.capitals, same=True),
    "other byte order": Kind("volume", v.other_byte_order, where=FEW, same=True),
    "slope of NaN": Kind("volume", v.slope_of_nan, where=FEW, same=True),
    "NRRD for NIfTI": Kind("volume", v.nrrd, where=("volumes",), verbs=READ),
    "hidden files beside a volume": Kind("volume", v.hidden_beside, same=True),
    "notes beside a volume": Kind(
        "volume", v.notes_beside, where=("nnunet", "volumes"), told=r"left out: \S*notes\.txt", same=True
    ),
    # masks
    "mask of fractions": Kind("mask", v.fractions, "a mask holds whole numbers"),
    "mask nearly of whole numbers": Kind("mask", v.nearly_whole, same=True),
    "mask of 255 for 1": Kind("mask", v.white_for_one, "label 255; expected 0", FEW, READ),
    "mask of a label that nobody named": Kind("mask", v.undeclared, "label 7; expected 0", FEW, READ),
    "mask of negative labels": Kind("mask", v.negative, "label -1; expected 0"),
    "mask of another size": Kind("mask", v.other_shape, "resample one", FEW, READ),
    "mask elsewhere": Kind("mask", v.shifted, "lies on another grid", FEW, READ),
    "mask missing": Kind("mask", v.missing, r"has no mask for b|no .*iph\.nii\.gz", FEW, READ, named=False),
    "mask cut short": Kind("mask", v.cut_short, DAMAGED),
    "no mask with foreground": Kind("mask", v.no_foreground, "nothing to learn|empty", FEW, READ, named=False),
    # pictures
    "picture cut short": Kind("picture", v.cut_short, DAMAGED),
    "byte flipped within a picture": Kind("picture", v.flipped_byte, DAMAGED),
    "empty picture": Kind("picture", v.empty, "it is empty"),
    "web page for a picture": Kind("picture", v.web_page, "its content is no PNG"),
    "picture of 10 GB": Kind("picture", p.bomb, "would fill the memory", bomb=True),
    "16 bits of colour": Kind("picture", p.sixteen_bits_of_colour, "16 bits for each colour"),
    "picture with NaN": Kind(
        "picture", p.floats_with_nan, "holds NaN or infinite", ("masks", "classes", "hearts", "liver")
    ),
    "several pages": Kind("picture", p.pages, "holds 2 pages", ("masks", "hearts", "liver")),
    "two pictures of a name": Kind(
        "picture", p.two_of_a_name, "two pictures are called b_1", ("masks",), READ, named=False
    ),
    "volume among pictures": Kind("picture", p.volume_among_pictures, "a volume of 8 slices", ("classes",)),
    "palette": Kind("picture", p.palette, same=True),
    "alpha": Kind("picture", p.alpha, same=True),
    "colour for grey": Kind("picture", p.colour, same=True),
    "16 bits of grey": Kind("picture", p.sixteen_bits),
    "floats": Kind("picture", p.floats, where=("masks", "classes", "hearts", "liver")),
    "turned by EXIF": Kind("picture", p.exif, same=True),
    "white is 0": Kind("picture", p.white_is_zero, where=("masks", "hearts", "liver"), same=True),
    "CMYK": Kind("picture", p.cmyk, where=("masks", "classes", "hearts", "liver")),
    "hidden files beside a picture": Kind("picture", v.hidden_beside, same=True),
    "notes beside a picture": Kind(
        "picture", v.notes_beside, where=("masks", "classes", "hearts"), told=r"left out: \S*notes\.txt", same=True
    ),
    "picture's name in capitals": Kind("picture", v.capitals, where=("masks", "hearts", "liver"), same=True),
    "mask with soft edges": Kind("coloured", p.soft_edges, "colours, such as", verbs=READ),
    "mask of colours that nobody named": Kind("coloured", p.three_colours, "datamodule.classes=", verbs=READ),
    "picture mask of another size": Kind("coloured", p.other_size, "resample one", verbs=READ),
    "picture mask cut short": Kind("coloured", v.cut_short, DAMAGED, verbs=READ),
    "mask as JPEG": Kind("coloured", p.jpeg_mask, verbs=READ, told="masks are JPEG"),
    # npz
    "npz cut short": Kind("npz", v.cut_short, DAMAGED),
    "byte flipped within npz": Kind("npz", v.flipped_byte, DAMAGED, verbs=READ),
    "empty npz": Kind("npz", v.empty, DAMAGED),
    "web page for npz": Kind("npz", v.web_page, DAMAGED),
    "npz of pickled objects": Kind("npz", p.pickled, "holds Python objects, which are not loaded"),
    "npz that unpacks to 1 GB": Kind("npz", p.compressed_bomb, "from almost nothing", bomb=True),
    "npz with a path upwards": Kind("npz", p.climbing, same=True),
    "channels before rows": Kind("npz", p.channels_first, "moveaxis"),
    "fewer labels than images": Kind("npz", p.too_few_labels, "12 images and 11 labels", verbs=READ),
    "no labels": Kind("npz", p.no_labels, "no array 'train_labels'", verbs=READ),
    "one-hot labels": Kind("npz", p.one_hot, "one-hot labels take labels.argmax", verbs=READ),
    "label of no class": Kind("npz", p.label_of_two, "label 2 is outside 0..1", verbs=READ),
    "labels of NaN": Kind("npz", p.labels_of_nan, "among them nan", verbs=READ),
    "labels as names": Kind("npz", p.labels_as_names, "datamodule.class_names", verbs=READ),
    "images of floats": Kind("npz", p.float_images, "expected uint8", verbs=READ),
    # tables
    "UTF-16": Kind("table", t.utf16, same=True),
    "Windows text": Kind("table", t.windows, told="cp1252", same=True),
    "byte order mark": Kind("table", t.byte_order_mark, same=True),
    "semicolons": Kind("table", t.semicolons, told="semicolons", same=True),
    "tabs": Kind("table", t.tabs, told="tabs", same=True),
    "decimal commas": Kind("table", t.decimal_commas, same=True),
    "blank rows": Kind("table", t.blank_rows, same=True),
    "blanks around cells": Kind("table", t.spaces, same=True),
    "column that nobody asked for": Kind("table", t.unknown_column, same=True),
    "workbook called .csv": Kind("table", t.excel_under_csv, same=True),
    "workbook cut short": Kind("table", t.excel_cut_short, "could not be read"),
    "old Excel": Kind("table", t.old_excel, r"old Excel file"),
    "web page for a table": Kind("table", v.web_page, "a web page or XML"),
    "NUL bytes": Kind("table", t.nul_bytes, "NUL bytes"),
    "blank table": Kind("table", t.blank, "is empty"),
    "header alone": Kind("table", t.only_header, "a header and no rows"),
    "column twice": Kind("table", t.column_twice, "occurs twice in the header"),
    "id twice": Kind("table", t.id_twice, "occurs twice"),
    "id missing": Kind("table", t.id_missing, "fill it in, or delete the row|no file", (*PATIENTS, "cases", "listed")),
    "leading zeros lost": Kind("table", t.zeros_lost, "almost the same ids", ("followup", "liver")),
    "id in capitals": Kind("table", t.id_in_capitals, "almost the same ids", ("hearts",)),
    "row missing": Kind("table", t.row_missing, "has no row|no row for case", ("followup", "hearts"), READ),
    "row without images": Kind("table", t.row_too_many, "no image", ("hearts",)),
    "column missing": Kind("table", t.column_missing, "no column", (*PATIENTS, "listed")),
    "cell too many": Kind("table", t.cell_too_many, "correct the line"),
    "open quotation mark": Kind("table", t.quotation_open, "correct"),
    "value out of range": Kind("table", cell("700"), "outside|above", ("followup",)),
    "word for a number": Kind("table", cell("old"), "which is not a number", MEASURED),
    "infinity in a table": Kind("table", cell("inf"), "which is not a number", MEASURED),
    "number too large": Kind("table", cell("1e999"), "too large for a number", MEASURED),
    "error of Excel": Kind("table", t.excel_error, "an error of Excel", MEASURED),
    "date for a number": Kind("table", t.excel_date, "2024-03-01", MEASURED),
    "thousands or decimals": Kind("table", cell("1,234"), "Write one of the two", MEASURED),
    "split misspelt": Kind("table", t.split_misspelt, "train, val", ("listed", "hearts", "liver"), READ),
    "label missing": Kind("table", t.label_missing, "label", ("listed", "hearts", "cases"), READ),
    "label unknown": Kind("table", t.label_unknown, "label", ("hearts", "liver", "cases"), READ),
    "patient in two splits": Kind(
        "table", t.in_two_splits, "is in both train and test", ("listed",), READ, named=False
    ),
    # dataset.json
    "JSON cut short": Kind("json", v.cut_short, "could not be read as", verbs=READ),
    "JSON of a list": Kind("json", t.a_list, "expected", verbs=READ),
    "JSON with a byte order mark": Kind("json", t.json_with_mark, verbs=READ),
    "JSON of Windows": Kind("json", t.json_of_windows, "could not be read as", verbs=READ),
    "JSON missing": Kind("json", v.missing, "set datamodule.root to", verbs=READ),
    "labels of NaN in JSON": Kind(
        "json", said(labels={"background": 0, "a": float("nan")}), "labels must be", verbs=READ
    ),
    "labels of infinity": Kind("json", said(labels={"background": 0, "a": float("inf")}), "labels must be", verbs=READ),
    "labels not consecutive": Kind("json", said(labels={"background": 0, "hematoma": 2}), "labels must be", verbs=READ),
    "no labels in JSON": Kind("json", said(labels=None), "labels must be", verbs=READ),
    "channel_names missing": Kind("json", said(channel_names=None), verbs=READ),
    "channel_names of a list": Kind("json", said(channel_names=["CT"]), "channel_names", verbs=READ),
    "channel_names without numbers": Kind("json", said(channel_names={"CT": "0"}), "channel_names", verbs=READ),
    "ending of pictures": Kind("json", said(file_ending=".png"), "file_ending .png", verbs=READ),
    "other ending than the files'": Kind("json", said(file_ending=".nrrd"), "holds no case", verbs=READ, named=False),
    # folders
    "empty class folder": Kind("folder", t.empty_class, "unsure", ("classes", "volumes"), READ, named=False),
    "class of one case": Kind("folder", t.class_of_one, "patients", ("classes", "volumes"), READ, named=False),
    "one patient": Kind("folder", t.one_patient, "patient|folds", ("nnunet", "masks", "classes"), READ, named=False),
    "one hospital": Kind("table", t.one_patient, "has no hospital south", ("followup",), READ, named=False),
    "empty folder": Kind("folder", t.nothing, "no |expected", named=False),
    "patient in training and test": Kind(
        "volume", t.patient_in_test, "b is in both imagesTr and imagesTs", ("nnunet",), READ, named=False
    ),
    "patient in two hospitals": Kind(
        "volume", t.patient_in_two_hospitals, "give each an id of its own", ("followup",), READ, named=False
    ),
    "umlauts, blanks, = and a line break in a name": Kind("picture", t.odd_names, where=("classes",)),
    "file of another ending": Kind("volume", t.other_ending, where=("nnunet",), verbs=READ, told=r"e_0000\.nii"),
    "picture among volumes": Kind(
        "volume", t.picture_among_volumes, where=("nnunet",), told=r"overview\.png", same=True
    ),
    # DICOM
    "two series": Kind("series", t.two_series, "2 series", named=False),
    "localizer": Kind("series", t.localizer, told="localizer"),
    "secondary capture": Kind("series", t.capture, told="left out"),
    "slice missing": Kind("series", t.slice_missing, told="mm apart"),
    "PixelSpacing missing": Kind("series", t.no_pixel_spacing, "PixelSpacing", named=False),
    "position missing": Kind("series", t.no_position, "ImagePositionPatient", named=False),
    "RescaleIntercept missing": Kind("series", t.no_intercept, "ntercept", named=False),
    "MR for CT": Kind("series", t.magnetic_resonance, "CT slices", named=False),
    "slice turned": Kind("series", t.turned_slice, "rient", named=False),
    "slice cut short": Kind("series", t.slice_cut_short, "cut short|damaged", named=False),
    "slice of another size": Kind("series", t.slice_of_another_size, "size|shape|pixels|Rows", named=False),
    "text file in a series": Kind("series", t.text_in_series),
}
