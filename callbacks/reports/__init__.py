"""Numbers, tables and figures at the end of a test."""
