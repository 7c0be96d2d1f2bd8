rule measure:
    """Measure the stability of a run's nets, at initialisation and after training."""
    input:
        **wait_for_packs,
        dataset=lambda w: ancient(grid.find(w.digest).run.dataset.path),
        curves=lambda w: grid.find(w.digest).run.curves,
        weights=lambda w: grid.find(w.digest).run.weights,
    output:
        "results/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc",
    log:
        "results/logs/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.log",
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
        request=lambda w: grid.find(w.digest).json,
        device=grid.device,
    message:
        "measure {wildcards.observable} of {wildcards.net} on {wildcards.dataset}, P = {wildcards.P}, seeds {wildcards.seeds}"
    script:
        "../scripts/measure.py"
