import json

from relative_stability import stages
from relative_stability.finished import kept
from relative_stability.logs import job_log

asked = {key: snakemake.resources[key] for key in ("gpu", "runtime", "mem_mb")}
former = kept(snakemake.log[0], snakemake.params.finished)
with job_log(snakemake.log[0], f"train {snakemake.output.curves}", former, asked):
    stages.train(
        json.loads(snakemake.params.request),
        snakemake.wildcards.digest,
        dataset=snakemake.input.dataset,
        curves=snakemake.output.curves,
        weights=snakemake.output.weights,
        device=snakemake.params.device,
        threads=snakemake.threads,
        finished=snakemake.params.finished,
        packs=snakemake.input.get("packs", []),
        checkpoints=snakemake.params.checkpoints,
        engine=json.loads(snakemake.params.engine),
        data_root=snakemake.params.data_root,
    )
