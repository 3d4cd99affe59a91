"""What is in a checkpoint, how it meets other data, and how it predicts."""
