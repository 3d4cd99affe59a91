"""Reading, preparing and serving data, beside the libraries that users have now."""
