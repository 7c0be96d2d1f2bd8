import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], f"prepare {snakemake.wildcards.dataset}"):
    stages.prepare(
        json.loads(snakemake.params.request),
        snakemake.wildcards.digest,
        snakemake.output[0],
        data_root=snakemake.params.data_root,
    )
