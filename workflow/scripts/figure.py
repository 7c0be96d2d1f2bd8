import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], f"figure {snakemake.wildcards.figure}"):
    stages.figure(
        json.loads(snakemake.params.request),
        digests=snakemake.params.digests,
        mark=snakemake.params.mark,
        sources=snakemake.params.sources,
        pdf=snakemake.output.pdf,
        png=snakemake.output.png,
        numbers=snakemake.output.numbers,
    )
