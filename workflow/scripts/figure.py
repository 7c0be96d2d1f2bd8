import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import showing

with job_log(snakemake.log[0], f"figure {snakemake.wildcards.figure}"):
    showing.figure(
        json.loads(snakemake.params.request),
        digests=snakemake.params.digests,
        mark=snakemake.input.marks[0],
        sources=[str(path) for path in snakemake.input.sources],
        pdf=snakemake.output.pdf,
        png=snakemake.output.png,
        numbers=snakemake.output.numbers,
    )
