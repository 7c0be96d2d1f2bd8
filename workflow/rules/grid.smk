# What the config asks for, and how this start of snakemake goes about it.
import shlex
import sys
import time

from snakemake.exceptions import WorkflowError

from relative_stability import InputError
from relative_stability.jobs import hooks, resources
from relative_stability.jobs.shared_process import Packs, forced, own_jobs
from relative_stability.plan.config import Schema
from relative_stability.plan.grid import read_grid
from relative_stability.plan.marks import Asked, is_made

# Snakemake puts it into the commands of scripts as it is, and a path may have spaces.
if " " in sys.executable:
    sys.executable = shlex.quote(sys.executable)
try:
    schema = Schema(f"{workflow.basedir}/workflow/schemas/config.schema.yaml")
    given = workflow.config_settings
    grid = read_grid(given.configfiles, schema, given.config_args or (), sys.argv)
    notices = grid.notices if workflow.is_main_process else grid.warnings
except InputError as error:
    raise WorkflowError(str(error)) from None
for sentence in notices:
    logger.warning(f"Warning: {sentence}")
# Snakemake's settings are there once it lays out its jobs, which is when these are asked.
packs = Packs(
    grid,
    none=lambda: not workflow.is_main_process or own_jobs(workflow.dag_settings),
    device=lambda: resources.likely_device(grid.device, here=workflow.local_exec),
)
asked = Asked(
    [*grid.published, grid.explorer, grid.report],
    in_earnest=lambda: workflow.executor_plugin is not None
    and not (workflow.dryrun or workflow.touch),
)
started = time.time()
if workflow.is_main_process and "--unlock" in sys.argv:
    hooks.declared_gone()
elif workflow.is_main_process and not workflow.dryrun and (said := hooks.unlock()):
    logger.warning(said)
# It would say of each result of a failed job that there is no older one to go back to, and of what packs have made that
# Snakemake has no records of it, which are not needed.
UNSAID = ("no backup found", "missing provenance", "with missing metadata")
logger.addFilter(lambda record: not any(words in record.getMessage() for words in UNSAID))


def newer(result):
    """An input that is newer than a result which is not what is asked for. A job is sent out because of it."""
    try:
        return asked(result) if workflow.is_main_process else []
    except InputError as error:
        raise WorkflowError(str(error)) from None


def estimated(wildcards):
    """Time and memory of a run or a measurement."""
    return resources.estimated(grid.find(wildcards.digest), grid.device)


def timeless(files):
    """The age of these inputs means nothing, as their names have digests; but where results are forced."""
    return files if forced(workflow.dag_settings) else ancient(files)


def parts(result, files):
    """What a result is made from; it is left alone where only the age of files with digests would have it made anew."""
    found = packs.makers(files)
    return timeless(found) if is_made(result.mark) and not result.sweeps else found


onstart:
    hooks.begin(
        packs,
        [file for job in workflow.dag.needrun_jobs() for file in job.input],
        anew=forced(workflow.dag_settings),
        on_slurm=workflow.executor_plugin.name == "slurm",
    )


onsuccess:
    hooks.end(packs, started)
    print(*hooks.findings(grid), sep="\n", file=sys.stderr)


onerror:
    hooks.end(packs, started)
