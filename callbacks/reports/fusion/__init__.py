"""The test of a fusion of modalities."""
