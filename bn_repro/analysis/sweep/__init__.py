"""A sweep of one key: what it shows, as a figure and as tables."""
