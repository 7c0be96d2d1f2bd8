rule collect:
    """Merge the runs of a sweep into one labelled dataset, of which only those that are new are read."""
    input:
        newer=lambda w: newer(grid.sweep(w.sweep)),
        parts=lambda w: parts(grid.sweep(w.sweep), grid.sweep(w.sweep).parts),
    output:
        update("results/sweeps/{sweep}.nc"),
    log:
        "results/logs/sweeps/{sweep}.log",
    benchmark:
        "results/benchmarks/sweeps/{sweep}.tsv"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        request=lambda w: grid.sweep(w.sweep).json,
        runs=lambda w: grid.sweep(w.sweep).runs_json,
        mark=lambda w: grid.sweep(w.sweep).mark,
    message:
        "collect sweep {wildcards.sweep}"
    script:
        "../scripts/collect.py"
