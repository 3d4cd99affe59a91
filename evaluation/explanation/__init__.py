"""What a network saw, and what would have to look different."""
