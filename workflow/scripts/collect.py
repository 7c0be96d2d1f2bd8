import json

from relative_stability.core.logs import job_log
from relative_stability.jobs import stages
from relative_stability.plan.runs import FINISHED

with job_log(snakemake.log[0], f"collect {snakemake.wildcards.sweep}"):
    stages.collect(
        json.loads(snakemake.params.request),
        json.loads(snakemake.params.runs),
        mark=snakemake.input.marks[0],
        out=snakemake.output[0],
        finished=FINISHED,
    )
