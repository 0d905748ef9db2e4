"""Measurements of gitml beside other tools: the method is in docs/benchmarks.md."""
