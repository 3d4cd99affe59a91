"""Volumes of all formats: headers, grids and voxels."""
