"""Numbers and figures from arrays: nothing here trains a network, reads files or writes them."""
