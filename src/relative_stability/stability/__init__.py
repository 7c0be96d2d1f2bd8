"""The instrument: D, G and R of any net. It knows no training, no config and no layout of files."""
