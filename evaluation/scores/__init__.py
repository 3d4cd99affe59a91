"""How good probabilities, forecasts and representations are, with intervals and tests."""
