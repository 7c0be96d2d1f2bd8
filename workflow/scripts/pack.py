import json

from relative_stability import stages
from relative_stability.logs import job_log

asked = {key: snakemake.resources[key] for key in ("gpu", "runtime", "mem_mb")}
with job_log(snakemake.log[0], f"pack {snakemake.wildcards.digest}", asked=asked):
    stages.pack(
        json.loads(snakemake.params.tasks),
        device=snakemake.params.device,
        threads=snakemake.threads,
        engine=json.loads(snakemake.params.engine),
        data_root=snakemake.params.data_root,
        finished=snakemake.params.finished,
    )
