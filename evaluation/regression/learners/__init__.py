"""Learners beside a regression: forests, trees, support vectors, boosting; tuned, and as plain arrays."""
