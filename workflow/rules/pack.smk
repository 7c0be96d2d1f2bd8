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
        device=grid.device,
        engine=grid.engine,
        data_root=grid.data_root,
        finished="results/.finished",
    message:
        "pack {wildcards.digest}"
    script:
        "../scripts/pack.py"
