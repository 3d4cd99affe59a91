"""What watches over training."""
