"""The interactive page of a report: what it shows, and its script and style."""
