"""The training engine: what is minimised, and the loop that minimises it. It measures no stability."""
