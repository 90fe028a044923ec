"""Experiments as values: one file an experiment, one entry of RUNS a run."""
