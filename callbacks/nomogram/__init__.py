"""The report of a nomogram: metrics, tables, figures, calculator and checklist."""
