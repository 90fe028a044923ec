"""What the layers of a network show: drift, signals, and how both go over time."""
