"""Four-chamber views of fetal hearts with a table of cases."""
