"""`relative-stability confirm`: that a stage whose code has changed gives the numbers of its version."""

import argparse


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = verbs.add_parser("confirm", help="record that the code of stages gives the numbers of their versions")
    parser.add_argument("stages", nargs="+", metavar="STAGE", help="prepare, train, flow, measure or collect")
    parser.add_argument("--reason", required=True, help="why numbers stay the same, or what a new version is for")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Add the digests of today's code to the file that the package holds."""
    from relative_stability.plan.stage_code import FILE, confirm

    changed = confirm(options.stages, options.reason)
    print(f"recorded in {FILE}: {', '.join(changed)}" if changed else "nothing new: the code is that of the file")
