"""Callbacks that watch over training."""
