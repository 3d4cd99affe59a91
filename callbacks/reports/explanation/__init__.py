"""What in its input a network based its prediction on."""
