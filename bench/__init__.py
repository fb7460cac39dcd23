"""Benchmarks. They report ratios measured in one run: absolute figures hold for one machine and one day only."""
