import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], f"measure {snakemake.output[0]}"):
    stages.measure(
        json.loads(snakemake.params.request),
        snakemake.wildcards.digest,
        dataset=snakemake.input.dataset,
        curves=snakemake.input.curves,
        weights=snakemake.input.weights,
        out=snakemake.output[0],
        device=snakemake.params.device,
        threads=snakemake.threads,
    )
