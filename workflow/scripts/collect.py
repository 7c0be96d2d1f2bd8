import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], f"collect {snakemake.wildcards.sweep}"):
    stages.collect(
        json.loads(snakemake.params.request),
        json.loads(snakemake.params.runs),
        mark=snakemake.params.mark,
        out=snakemake.output[0],
    )
