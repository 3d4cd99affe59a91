from hydra.utils import get_object


def is_segmenter(target: str) -> bool:
    """Whether a `_target_` is a network that segments: its code is in `models/segmentation/`."""
    return get_object(target).__module__.startswith("medzoo.models.segmentation.")
