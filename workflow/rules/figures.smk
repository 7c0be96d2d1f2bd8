rule figures:
    """Every figure."""
    input:
        [figure.files for figure in grid.figures],
    message:
        "figures"


rule figure:
    """Draw one figure of a sweep."""
    input:
        newer=lambda w: newer(grid.figure(w.figure)),
        sources=lambda w: parts(
            grid.figure(w.figure), [path for path, _ in grid.figure(w.figure).sources]
        ),
    output:
        pdf=report(
            "results/figures/{figure}.pdf",
            caption="../report/figure.rst",
            category="figures",
            labels=lambda w: {
                "figure": w.figure,
                "sweep": grid.figure(w.figure).facts["sweep"],
            },
        ),
        png="results/figures/{figure}.png",
        numbers="results/figures/{figure}.nc",
    log:
        "results/logs/figures/{figure}.log",
    benchmark:
        "results/benchmarks/figures/{figure}.tsv"
    priority: lambda w: int(grid.figure(w.figure).animated)  # or its film would be made alone at the end
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        request=lambda w: grid.figure(w.figure).json,
        sources=lambda w: [path for path, _ in grid.figure(w.figure).sources],
        digests=lambda w: [digest for _, digest in grid.figure(w.figure).sources],
        mark=lambda w: grid.figure(w.figure).mark,
        caption=lambda w: grid.figure(w.figure).caption,
    message:
        "draw figure {wildcards.figure}"
    script:
        "../scripts/figure.py"


rule animation:
    """Make the film of a figure from its numbers."""
    input:
        numbers="results/figures/{figure}.nc",
    output:
        "results/figures/{figure}.gif",
    log:
        "results/logs/figures/{figure}.animation.log",
    benchmark:
        "results/benchmarks/figures/{figure}.animation.tsv"
    priority: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        kind=lambda w: grid.figure(w.figure).kind,
    message:
        "animate figure {wildcards.figure}"
    script:
        "../scripts/animation.py"


rule report:
    """Everything on one page, which opens without the internet: claims, figures, configuration, run times."""
    input:
        newer=lambda w: newer(grid.report),
        claims=grid.claims.files,
        figures=[figure.path.replace(".pdf", ".png") for figure in grid.figures],
        films=[path for figure in grid.figures for path in figure.files if path.endswith(".gif")],
        sweeps=ancient([sweep.path for sweep in grid.sweeps]),
        explorer=grid.explorer.path,
    output:
        grid.report.path,
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    params:
        mark=grid.report.mark,
        request=lambda w: grid.report.json,
        stages=lambda w: grid.report.stages,
    message:
        "report"
    script:
        "../scripts/report.py"


rule explorer:
    """A page to look into sweeps with, and to deform an image by hand."""
    input:
        newer=lambda w: newer(grid.explorer),
        sweeps=[sweep.path for sweep in grid.sweeps],
        datasets=ancient([path for _, path in grid.explorer.datasets]),
    output:
        grid.explorer.path,
    log:
        "results/logs/explorer.log",
    benchmark:
        "results/benchmarks/explorer.tsv"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        mark=grid.explorer.mark,
        digests=[sweep.digest for sweep in grid.sweeps],
        names=[name for name, _ in grid.explorer.datasets],
    message:
        "explorer"
    script:
        "../scripts/explorer.py"


rule claims:
    """The claims, checked on every sweep."""
    input:
        grid.claims.files,
    message:
        "claims"


rule check_claims:
    """Check the claims on every sweep."""
    input:
        newer=lambda w: newer(grid.claims),
        sweeps=[sweep.path for sweep in grid.sweeps],
    output:
        page=report(grid.claims.path, caption="../report/claims.rst", category="claims"),
        table=grid.claims.path.replace(".md", ".csv"),
    log:
        "results/logs/claims.log",
    benchmark:
        "results/benchmarks/claims.tsv"
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        mark=grid.claims.mark,
        request=grid.claims.json,
        digests=[sweep.digest for sweep in grid.sweeps],
    message:
        "check the claims"
    script:
        "../scripts/claims.py"
