"""One stage of a run: tried out, trained, finalised and measured."""
