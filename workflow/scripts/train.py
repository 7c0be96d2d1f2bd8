import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages
from relative_stability.jobs.finished import kept
from relative_stability.plan.runs import FINISHED, checkpoints

asked = {key: snakemake.resources[key] for key in ("gpu", "runtime", "mem_mb")}
former = kept(snakemake.log[0], FINISHED)
with job_log(snakemake.log[0], f"train {snakemake.output.curves}", former, asked):
    stages.train(
        json.loads(snakemake.params.request),
        snakemake.wildcards.digest,
        dataset=snakemake.input.dataset,
        curves=snakemake.output.curves,
        weights=snakemake.output.weights,
        threads=snakemake.threads,
        finished=FINISHED,
        packs=snakemake.input.get("packs", []),
        checkpoints=checkpoints(snakemake.wildcards.digest),
        **json.loads(snakemake.params.how),
    )
