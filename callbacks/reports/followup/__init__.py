"""The test of a follow-up forecast."""
