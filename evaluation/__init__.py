"""Arrays in, numbers and figures out: nothing here trains, reads or writes."""
