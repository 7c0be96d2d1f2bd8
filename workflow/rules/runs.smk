# A run and its measurements share a job of a cluster (group: "run"), and take turns on its GPU; how much such a job asks
# for is worked out where it is submitted, with the same turn=1 in slurm/profile.v9+.yaml.
resource_scopes:
    turn="local",


if not workflow.is_main_process:
    workflow.register_resource("turn", 1)


rule train:
    """Train one net on P samples of a dataset, for a range of seeds."""
    input:
        dataset=lambda w: ancient(grid.find(w.digest).dataset.path),
    output:
        # What another process has made meanwhile is not to be deleted, but left alone.
        curves=update("results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc"),
        weights=update("results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.safetensors"),
    log:
        "results/logs/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.log",
    benchmark:
        "results/benchmarks/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.tsv"
    priority: lambda w: int(estimated(w).seconds)  # those that take long first, or one of them runs alone at the end
    group:
        "run"
    threads: 1
    resources:
        turn=1,
        gpu=grid.gpus,
        mem_mb=lambda w, attempt: estimated(w).mem_mb(attempt),
        runtime=lambda w, attempt: estimated(w).runtime(attempt),
        cpus_per_task=lambda w, threads: threads,
    params:
        request=lambda w: grid.find(w.digest).json,
        how=grid.how,
    message:
        "train {wildcards.net} on {wildcards.dataset}, P = {wildcards.P}, seeds {wildcards.seeds} ({wildcards.digest})"
    script:
        "../scripts/train.py"


rule measure:
    """Measure the stability of a run's nets, at initialisation and after training."""
    input:
        dataset=lambda w: ancient(grid.find(w.digest).run.dataset.path),
        curves=lambda w: timeless(grid.find(w.digest).run.curves),
        weights=lambda w: timeless(grid.find(w.digest).run.weights),
    output:
        update("results/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc"),
    log:
        "results/logs/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.log",
    benchmark:
        "results/benchmarks/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.tsv"
    group:
        "run"
    threads: 1
    resources:
        turn=1,
        gpu=grid.gpus,
        mem_mb=lambda w, attempt: estimated(w).mem_mb(attempt),
        runtime=lambda w, attempt: estimated(w).runtime(attempt),
        cpus_per_task=lambda w, threads: threads,
    params:
        request=lambda w: grid.find(w.digest).json,
        device=grid.device,
    message:
        "measure {wildcards.observable} of {wildcards.net} on {wildcards.dataset}, P = {wildcards.P}, seeds {wildcards.seeds} ({wildcards.digest})"
    script:
        "../scripts/measure.py"


rule pack:
    """Train and measure small runs in one process, one after another; see `pack_minutes`."""
    input:
        datasets=lambda w: ancient(packs.find(w.digest).datasets),
    output:
        touch("results/.packs/{digest}"),
    log:
        "results/logs/packs/pack.{digest}.log",
    benchmark:
        "results/benchmarks/packs/pack.{digest}.tsv"
    priority: lambda w: int(packs.find(w.digest).seconds)
    threads: 1
    resources:
        gpu=grid.gpus,
        mem_mb=lambda w, attempt: packs.find(w.digest).estimate.mem_mb(attempt),
        runtime=lambda w, attempt: packs.find(w.digest).estimate.runtime(attempt),
        cpus_per_task=lambda w, threads: threads,
    params:
        pack="results/.packs/{digest}.json",
        what=lambda w: packs.find(w.digest).what,
        how=grid.how,
    message:
        "train and measure {params.what} (pack {wildcards.digest})"
    script:
        "../scripts/pack.py"
