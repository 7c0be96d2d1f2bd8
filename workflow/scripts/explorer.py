from relative_stability.core.logs import job_log
from relative_stability.jobs import stages

with job_log(snakemake.log[0], "explorer"):
    stages.explorer(
        mark=snakemake.params.mark,
        digests=snakemake.params.digests,
        sweeps=[str(path) for path in snakemake.input.sweeps],
        datasets=list(zip(snakemake.params.names, map(str, snakemake.input.datasets), strict=True)),
        out=snakemake.output[0],
    )
