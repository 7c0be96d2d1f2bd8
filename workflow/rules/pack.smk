# A run and its measurements share a job of a cluster (group: "run"), and take turns on its GPU; how much such a job asks
# for is worked out where it is submitted, with the same turn=1 in slurm/profile.v9+.yaml.
resource_scopes:
    turn="local",


if not workflow.is_main_process:
    workflow.register_resource("turn", 1)


# Nothing where nothing is packed: ten thousand empty lists would take 16 MB.
wait_for_packs = {"packs": lambda w: ancient(grid.pack_marks(w.digest))} if grid.packs else {}


rule pack:
    """Train and measure small runs in one process, one after another; their own jobs then take what is finished."""
    input:
        datasets=lambda w: ancient(grid.find(w.digest).datasets),
    output:
        temp(touch("results/.packs/{digest}")),
    log:
        "results/logs/packs/pack.{digest}.log",
    group:
        "run"
    threads: 1
    resources:
        turn=1,
        gpu=lambda w: grid.needs(w.digest).gpu,
        mem_mb=lambda w, attempt: grid.needs(w.digest, attempt).mem_mb,
        runtime=lambda w, attempt: grid.needs(w.digest, attempt).runtime,
        cpus_per_task=lambda w, threads: threads,
    params:
        tasks=lambda w: grid.find(w.digest).tasks_json,
        how=grid.how,
    message:
        "pack {wildcards.digest}"
    script:
        "../scripts/pack.py"
