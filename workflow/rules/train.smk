rule train:
    """Train one net on P samples of a dataset, for a range of seeds."""
    input:
        **wait_for_packs,
        # The name carries the dataset's digest, so its age means nothing.
        dataset=lambda w: ancient(grid.find(w.digest).dataset.path),
    output:
        curves="results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc",
        weights="results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.safetensors",
    log:
        "results/logs/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.log",
    priority: lambda w: int(w.P)  # those that take long first, or one of them is still running when all else is done
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
        how=grid.how,
    message:
        "train {wildcards.net} on {wildcards.dataset}, P = {wildcards.P}, seeds {wildcards.seeds}"
    script:
        "../scripts/train.py"
