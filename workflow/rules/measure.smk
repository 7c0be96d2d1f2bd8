rule measure:
    """Measure the stability of a run's nets, at initialisation and after training."""
    input:
        dataset=lambda w: ancient(grid.find(w.digest).run.dataset.path),
        curves=lambda w: grid.find(w.digest).run.curves,
        weights=lambda w: grid.find(w.digest).run.weights,
    output:
        "results/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc",
    log:
        "results/logs/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.log",
    benchmark:
        "results/benchmarks/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.tsv"
    threads: 1
    resources:
        gpu=1 if grid.device != "cpu" else 0,
        mem_mb=lambda w, attempt: (
            estimates.measuring(grid.find(w.digest), grid.device).mem_mb(attempt)
        ),
        runtime=lambda w, attempt: (
            estimates.measuring(grid.find(w.digest), grid.device).runtime(attempt)
        ),
    params:
        request=lambda w: grid.find(w.digest).json,
        run_digest=lambda w: grid.find(w.digest).run.digest,
        device=grid.device,
    message:
        "measure {wildcards.observable} of {wildcards.net} on {wildcards.dataset}, P = {wildcards.P}, seeds {wildcards.seeds}"
    script:
        "../scripts/measure.py"
