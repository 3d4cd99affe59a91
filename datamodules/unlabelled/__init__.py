"""Images without labels, to learn from what they look like."""
