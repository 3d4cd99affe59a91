"""Pictures, and masks drawn as pictures."""
