"""What every room needs: errors, random streams, provenance, logs, and files written whole or not at all.

Nothing here knows of nets, datasets, config or Snakemake.
"""
