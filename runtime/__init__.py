"""How a run starts, is checked, built, written down and found again."""

from medzoo.runtime.environment import told_of_missing_packages

with told_of_missing_packages():
    import hydra  # noqa: F401
