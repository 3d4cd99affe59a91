"""Nomograms: to be read on paper, or worked as a page."""
