"""The run folder, the one way to write and to read a run."""
