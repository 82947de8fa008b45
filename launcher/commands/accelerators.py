"""``flexpack accelerators``."""

from __future__ import annotations

from argparse import Namespace

from launcher.accelerators.catalogue import AcceleratorType, load_catalogue
from launcher.commands.output import print_json, print_table
from launcher.commands.parser import CommandParser


def add_flags(parser: CommandParser) -> None:
    """Add the command's flags and its handler."""
    parser.set_defaults(run=_run)
    parser.add_argument("--format", choices=("text", "json"), default="text")


def _run(args: Namespace) -> int:
    """Show the GPUs that Dataflow supports, with their machine types and quotas."""
    catalogue = load_catalogue()
    if args.format == "json":
        print_json(catalogue)
        return 0
    print_table(
        ("ACCELERATOR", "COUNT", "MEMORY_GB", "CAPABILITY", "MACHINE_TYPES", "QUOTA"),
        [
            (
                gpu.type,
                ",".join(map(str, gpu.counts)),
                str(gpu.memory_gb),
                gpu.compute_capability,
                _machines(gpu),
                gpu.quota_metric,
            )
            for gpu in catalogue.accelerators
        ],
    )
    drivers = ", ".join(
        f"CUDA {item.cuda} needs {item.minimum_driver} or newer" for item in catalogue.cuda_drivers
    )
    print(f"\nDrivers: {drivers}. --accelerator TYPE:COUNT installs the latest.")
    for refused in catalogue.refused:
        print(f"Not {refused.type}: {refused.reason}; the nearest is {refused.instead}.")
    print(f"As of {catalogue.checked}, from {catalogue.sources[0]} and others (--format json).")
    return 0


def _machines(gpu: AcceleratorType) -> str:
    if gpu.n1_limits:
        largest = gpu.n1_limits[0]
        return f"N1, up to {largest.vcpus} vCPUs with {largest.gpus}"
    names = [machine.name for machine in gpu.machines]
    return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
