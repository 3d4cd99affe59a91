"""What a training costs: estimated by shapes before it, measured while it runs."""
