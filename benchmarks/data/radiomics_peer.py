"""Runs pyradiomics in its own environment: `python -I radiomics_peer.py <input.npz> <output.npz>`.

The input holds `images` and `masks` (N, *spatial), the `spacing` (mm) and the `families` to compute; the output
`features` (N, F), their `names` without `original_`, and `seconds` for all images.
"""

import logging
import sys
import time
import warnings


def main() -> None:
    """Compute every image as in pyradiomics' documentation: one extractor, one call per image."""
    import numpy as np
    import SimpleITK as sitk
    from radiomics import __version__, featureextractor

    logging.getLogger("radiomics").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    with np.load(sys.argv[1]) as given:
        images, masks, families = given["images"], given["masks"], given["families"].tolist()
        spacing = given["spacing"].tolist()
    flat = images.ndim == 3
    if flat:  # pyradiomics takes a 2-D image as a volume of one slice
        images, masks, spacing = images[:, None], masks[:, None], [1.0, *spacing]
    images = images.astype(np.int32)  # pyradiomics adds to the maximum, which would overflow 8 bits
    masks = masks.astype(np.uint8)
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, force2D=flat)
    extractor.disableAllFeatures()
    for family in families:
        extractor.enableFeatureClassByName("shape2D" if flat and family == "shape" else family)

    def describe(image, mask):
        arrays = [sitk.GetImageFromArray(array) for array in (image, mask)]
        for array in arrays:
            array.SetSpacing(spacing[::-1])
        return extractor.execute(*arrays)

    describe(images[0], masks[0])  # to warm up
    start = time.perf_counter()
    results = [describe(image, mask) for image, mask in zip(images, masks, strict=True)]
    seconds = time.perf_counter() - start
    names = list(results[0])
    features = [[float(result[name]) for name in names] for result in results]
    plain = [name.removeprefix("original_") for name in names]
    np.savez(sys.argv[2], features=features, names=plain, seconds=seconds, version=__version__)


if __name__ == "__main__":
    main()
