import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages
from relative_stability.jobs.finished import kept
from relative_stability.plan.runs import FINISHED

asked = {key: snakemake.resources[key] for key in ("gpu", "runtime", "mem_mb")}
former = kept(snakemake.log[0], FINISHED)
with job_log(snakemake.log[0], f"measure {snakemake.output[0]}", former, asked):
    stages.measure(
        json.loads(snakemake.params.request),
        snakemake.wildcards.digest,
        dataset=snakemake.input.dataset,
        curves=snakemake.input.curves,
        weights=snakemake.input.weights,
        out=snakemake.output[0],
        device=snakemake.params.device,
        threads=snakemake.threads,
        finished=FINISHED,
        packs=snakemake.input.get("packs", []),
    )
