"""`sccc ops` and `sccc passes`: the registries, listed."""

from __future__ import annotations

import argparse
import dataclasses

from sccc import report
from sccc.cli import EXIT_OK
from sccc.diagnostics import SccError, nearest
from sccc.ops import REGISTRY
from sccc.passes import DEFAULT_PIPELINE, PASSES


def run_ops(args: argparse.Namespace) -> int:
    """List the registry of operations."""
    known = {op.name: op for op in REGISTRY}
    if args.name and args.name not in known:
        raise SccError(f"unknown operation '{args.name}'", advice=nearest(args.name, known))
    for name in [args.name] if args.name else known:
        report.print_op(known[name], full=bool(args.name))
    return EXIT_OK


def run_passes(args: argparse.Namespace) -> int:
    """List the registry of passes."""
    if args.name and args.name not in PASSES:
        raise SccError(f"unknown pass '{args.name}'", advice=nearest(args.name, PASSES.names()))
    for each in PASSES:
        if args.name in ("", each.name):
            print(f"{each.name}: {(each.__doc__ or '').splitlines()[0]}")
            for f in dataclasses.fields(each):
                print(f"    {f.name.replace('_', '-')}={f.default if f.default != '' else '(from the options)'}")
    if not args.name:
        print(f"\ndefault pipeline: {DEFAULT_PIPELINE}")
    return EXIT_OK
