rule collect:
    """Merge the runs of a sweep into one labelled dataset, of which only those that are new are read."""
    input:
        marks=lambda w: grid.sweep(w.sweep).marks,
        stability=lambda w: [m.path for m in grid.sweep(w.sweep).measurements],
        curves=lambda w: [m.run.curves for m in grid.sweep(w.sweep).measurements],
    output:
        update("results/sweeps/{sweep}.nc"),
    log:
        "results/logs/sweeps/{sweep}.log",
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        request=lambda w: grid.sweep(w.sweep).json,
        runs=lambda w: grid.sweep(w.sweep).runs_json,
    message:
        "collect sweep {wildcards.sweep}"
    script:
        "../scripts/collect.py"
