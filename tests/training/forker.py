"""Starts stages in processes of their own, forked off one that has imported everything: a start takes no time.

Reads one JSON object a line: {"stage", "log", "arguments"}. Writes the process's number, and when it has ended its
exit code (negative for a signal), a line each.
"""

import json
import os
import sys
import traceback

import netCDF4  # noqa: F401
import torch  # noqa: F401

import relative_stability.datasets.prepared
import relative_stability.nets.convolutional
import relative_stability.nets.fully_connected
import relative_stability.training.run  # noqa: F401
from relative_stability.core.logs import job_log
from relative_stability.jobs import stages


def run(order: dict) -> int:
    """The stage, with its log, as the workflow's scripts run it. Returns the exit code."""
    try:
        with job_log(order["log"], order["stage"]):
            getattr(stages, order["stage"])(**order["arguments"])
    except SystemExit as leaving:
        return int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
        return 99
    return 0


for line in sys.stdin:
    process = os.fork()
    if process == 0:
        sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123
        os._exit(run(json.loads(line)))
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
