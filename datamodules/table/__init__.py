"""A table of cases alone: an outcome and measured predictors, no images."""
