"""Tables of cases without images: an outcome and measured predictors."""
