"""One stage of a run: rehearsed, trained, finalized and measured."""
