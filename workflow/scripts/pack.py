import json
from pathlib import Path

from relative_stability.core.logs import job_log
from relative_stability.jobs import shared_process

with job_log(snakemake.log[0], f"pack {snakemake.wildcards.digest}"):
    shared_process.train_and_measure(
        json.loads(Path(snakemake.params.pack).read_text(encoding="utf-8"))["tasks"],
        threads=snakemake.threads,
        **json.loads(snakemake.params.how),
    )
