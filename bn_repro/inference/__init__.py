"""Trained networks at work: read back, evaluated, folded and exported."""
