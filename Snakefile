# Which invariances does a net learn from P examples, and does that explain its error?
#   results/datasets/{dataset}.{digest}.nc                                              prepare
#   results/training/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc, .safetensors        train
#   results/stability/{observable}/{dataset}/{net}/P{P}/seeds{seeds}.{digest}.nc        measure
#   results/sweeps/{sweep}.nc                                                           collect
#   results/figures/{figure}.pdf, .png, .nc, .gif                                       figures
#   results/claims.md, .csv, results/explorer.html, results/report.html                 claims, explorer, report
#
# A digest stands for everything that made a file, so its name says how fresh it is. A file without one has a mark in
# results/.requests that has, and is made anew where that is newer. The config: profiles/default, or --configfile.

import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.14")

from relative_stability import InputError
from relative_stability.jobs import resources
from relative_stability.plan.config import Schema
from relative_stability.plan.grid import read_grid
from relative_stability.plan.marks import ask

try:
    schema = Schema(f"{workflow.basedir}/workflow/schemas/config.schema.yaml")
    given = workflow.config_settings
    grid = read_grid(given.configfiles, schema, given.config_args or (), sys.argv)
    if workflow.is_main_process:
        ask(grid.marks)
except InputError as error:
    raise WorkflowError(str(error)) from None
for sentence in grid.warnings:
    logger.warning(f"Warning: {sentence}")


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


include: "workflow/rules/data.smk"
include: "workflow/rules/pack.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/ending.smk"
