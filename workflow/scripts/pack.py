import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages
from relative_stability.plan.runs import FINISHED

asked = {key: snakemake.resources[key] for key in ("gpu", "runtime", "mem_mb")}
with job_log(snakemake.log[0], f"pack {snakemake.wildcards.digest}", asked=asked):
    stages.pack(
        json.loads(snakemake.params.tasks),
        threads=snakemake.threads,
        finished=FINISHED,
        **json.loads(snakemake.params.how),
    )
