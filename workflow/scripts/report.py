import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], "report"):
    stages.report(
        json.loads(snakemake.params.request),
        mark=snakemake.params.mark,
        claims=snakemake.input.claims[1],
        figures=[str(path) for path in snakemake.input.figures],
        sweeps=[str(path) for path in snakemake.input.sweeps],
        stages=snakemake.params.stages,
        out=snakemake.output[0],
    )
