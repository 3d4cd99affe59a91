"""Trains segmentation networks side by side: the zoo's and nnU-Net's own trainer, each run in a process of its own."""
