"""One file for each verb; a verb imports no other."""
