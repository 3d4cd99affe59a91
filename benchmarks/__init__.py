"""Side-by-side timings against what a user would otherwise run; every file here with a `run()` is one."""
