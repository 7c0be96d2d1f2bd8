rule train:
    """Train one net on P samples of a dataset, for a range of seeds."""
    input:
        # The name carries the dataset's digest, so its age means nothing.
        dataset=lambda w: ancient(grid.find(w.digest).dataset.path),
    output:
        curves="results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc",
        weights="results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.safetensors",
    log:
        "results/logs/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.log",
    benchmark:
        "results/benchmarks/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.tsv"
    threads: 1
    resources:
        gpu=1 if grid.device != "cpu" else 0,
        mem_mb=lambda w, attempt: (
            estimates.training(grid.find(w.digest), grid.device).mem_mb(attempt)
        ),
        runtime=lambda w, attempt: (
            estimates.training(grid.find(w.digest), grid.device).runtime(attempt)
        ),
    params:
        request=lambda w: grid.find(w.digest).json,
        device=grid.device,
        checkpoints=lambda w: grid.find(w.digest).checkpoints,
        engine=grid.engine,
        data_root=grid.data_root,
    message:
        "train {wildcards.net} on {wildcards.dataset}, P = {wildcards.P}, seeds {wildcards.seeds}"
    script:
        "../scripts/train.py"
