from relative_stability import showing
from relative_stability.logs import job_log

with job_log(snakemake.log[0], f"animation {snakemake.wildcards.figure}"):
    showing.animation(snakemake.params.kind, snakemake.input.numbers, snakemake.output[0])
