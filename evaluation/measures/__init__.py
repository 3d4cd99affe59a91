"""Measures of images, masks, volumes and codes."""
