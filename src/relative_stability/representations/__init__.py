"""What others have asked of representations: their dimension, their alignment with the labels, their information.

Of any net and any images, as `stability` is. Nothing here knows of config, sweeps or files.
"""
