"""Tables: CSV, TSV and Excel workbooks."""
