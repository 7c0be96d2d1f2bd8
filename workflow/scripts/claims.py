import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], "claims"):
    stages.claims(
        json.loads(snakemake.params.request),
        digests=snakemake.params.digests,
        mark=snakemake.params.mark,
        sweeps=[str(path) for path in snakemake.input.sweeps],
        table=snakemake.output.table,
        page=snakemake.output.page,
    )
