"""Images with label maps: volumes in nnU-Net's raw layout or in a folder for each patient, and pictures."""
