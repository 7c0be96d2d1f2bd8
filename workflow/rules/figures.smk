rule figures:
    """Every figure."""
    input:
        [[figure.path, *figure.marks] for figure in grid.figures],


rule figure:
    """Draw one figure of a sweep."""
    input:
        marks=lambda w: grid.figure(w.figure).marks,
        sources=lambda w: grid.figure(w.figure).sources,
    output:
        pdf=report(
            "results/figures/{figure}.pdf", caption="../report/figure.rst", category="figures"
        ),
        png="results/figures/{figure}.png",
        numbers="results/figures/{figure}.nc",
    log:
        "results/logs/figures/{figure}.log",
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        request=lambda w: grid.figure(w.figure).json,
    message:
        "draw figure {wildcards.figure}"
    script:
        "../scripts/figure.py"


rule claims:
    """Check the claims on every sweep."""
    input:
        marks=grid.claims.marks,
        sweeps=[sweep.path for sweep in grid.sweeps],
    output:
        page=report(grid.claims.path, caption="../report/claims.rst", category="claims"),
        table=grid.claims.path.replace(".md", ".csv"),
    log:
        "results/logs/claims.log",
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        request=grid.claims.json,
    message:
        "check the claims"
    script:
        "../scripts/claims.py"
