"""Training beside bare PyTorch and nnU-Net's trainer."""
