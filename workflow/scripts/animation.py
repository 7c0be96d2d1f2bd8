from relative_stability import stages
from relative_stability.logs import job_log

with job_log(snakemake.log[0], f"animation {snakemake.wildcards.figure}"):
    stages.animation(snakemake.params.kind, snakemake.input.numbers, snakemake.output[0])
