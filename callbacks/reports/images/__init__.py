"""Pictures of what a network reconstructs, restores, translates or synthesises."""
