"""Benchmarks: each module measures one thing and yields rows."""
