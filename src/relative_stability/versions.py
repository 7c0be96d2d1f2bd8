"""The meaning of each stage's code, as a number.

A stage's number joins the digest of everything that it makes, and of what is made from that. Raise it, and
`snakemake -n` announces that stage and those after it; leave it, and no refactoring, comment or touched file ever
costs a training. `flow` is `train` for gradient flows. Figures and claims have none: they are cheap, and are redrawn
whenever their code changes.
"""

STAGES = {"prepare": 1, "train": 3, "flow": 4, "measure": 2, "collect": 4}
