"""Parts of the benchmark (scripts/benchmark.py): each is a function that measures and returns rows."""
