"""What a benchmark shows: a row for each case, a section for each benchmark."""
