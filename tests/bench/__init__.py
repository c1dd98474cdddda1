"""Benchmarks: stocksync beside its peers at the same work, `python -m tests.bench`."""
