from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], f"animation {snakemake.wildcards.figure}"):
    stages.animation(snakemake.params.kind, snakemake.input.numbers, snakemake.output[0])
