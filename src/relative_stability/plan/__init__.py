"""From a config to datasets, runs, measurements, digests and paths. It computes no result and imports no torch."""
