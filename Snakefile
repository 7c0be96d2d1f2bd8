# Which invariances does a net learn from P examples, and does that explain its error?
#   results/datasets/{dataset}.{digest}.nc                                              prepare
#   results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc, .safetensors        train, pack
#   results/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc        measure, pack
#   results/sweeps/{sweep}.nc                                                           collect
#   results/figures/{figure}.pdf, .png, .nc, .gif                                       figures
#   results/claims.md, .csv, results/explorer.html, results/report.html                 claims, explorer, report
# A digest stands for everything that made a file, so its age means nothing. A result without one has a mark in
# results/.requests that has, and is made anew where that is another. The config: profiles/default, or --configfile.

from snakemake.utils import min_version

min_version("9.14")


include: "workflow/rules/grid.smk"


wildcard_constraints:
    dataset=r"\w+",
    net=r"\w+",
    P=r"\d+",
    seeds=r"\d+(-\d+)?",
    observable=r"\w+",
    digest=r"[0-9a-f]{10}",
    sweep=r"\w+",
    figure=r"\w+",


localrules:
    prepare,
    figure,
    animation,
    check_claims,
    explorer,
    report,


rule all:
    default_target: True
    input:
        [result.files for result in grid.published],
    message:
        "everything"


include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/figures.smk"
