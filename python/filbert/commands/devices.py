"""`filbert devices`: what there is to run on."""

import argparse
from typing import Any


def add(commands: Any) -> None:
    """The command, to what `add_subparsers` gave."""
    parser = commands.add_parser("devices", help="what filbert can run on here, and why not on the rest")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from .._core import devices

    for device in devices():
        if device.available:
            print(f"{device.name:<8} {device.description}, {device.threads} threads")
            if device.isas:
                print(f"{'':<8} instruction sets, best first: {', '.join(device.isas)}  (FILBERT_CPU_ISA forces one)")
            if device.note:
                print(f"{'':<8} {device.note}")
        else:
            print(f"{device.name:<8} not available: {device.reason}")
