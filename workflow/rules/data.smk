rule prepare:
    """Prepare a dataset. Runs where snakemake runs: on a cluster only that machine has internet."""
    output:
        "results/datasets/{dataset}.{digest}.nc",
    log:
        "results/logs/datasets/{dataset}.{digest}.log",
    benchmark:
        "results/benchmarks/datasets/{dataset}.{digest}.tsv"
    params:
        request=lambda w: grid.find(w.digest).json,
        data_root=grid.data_root,
    message:
        "prepare dataset {wildcards.dataset}"
    script:
        "../scripts/prepare.py"
