"""DICOM: series, single images and segmentation objects."""
