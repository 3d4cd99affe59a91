"""What is written of predictions."""
