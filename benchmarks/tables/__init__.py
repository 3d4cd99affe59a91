"""Tables: of timings beside peers (`row`, `page`), and of the cards, by `python -m benchmarks.tables`."""
