import json

from relative_stability.core.logs import job_log
from relative_stability.figures.pages import report

with job_log(snakemake.log[0], "report"):
    report.write(
        json.loads(snakemake.params.request),
        mark=snakemake.input.marks[0],
        claims=snakemake.input.claims[1],
        figures=[str(path) for path in snakemake.input.figures],
        sweeps=[str(path) for path in snakemake.input.sweeps],
        stages=snakemake.params.stages,
        rules=snakemake.params.rules,
        out=snakemake.output[0],
    )
