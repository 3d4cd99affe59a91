"""Four-chamber views of fetal hearts with a table of cases, as a hospital keeps them."""
