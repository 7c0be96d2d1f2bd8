from relative_stability.core.logs import job_log
from relative_stability.jobs import showing

with job_log(snakemake.log[0], f"animation {snakemake.wildcards.figure}"):
    showing.animation(snakemake.params.kind, snakemake.input.numbers, snakemake.output[0])
