import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages
from relative_stability.plan.runs import checkpoints

with job_log(snakemake.log[0], f"train {snakemake.output.curves}"):
    stages.train(
        json.loads(snakemake.params.request),
        snakemake.wildcards.digest,
        dataset=snakemake.input.dataset,
        curves=snakemake.output.curves,
        weights=snakemake.output.weights,
        threads=snakemake.threads,
        checkpoints=checkpoints(snakemake.wildcards.digest),
        **json.loads(snakemake.params.how),
    )
