"""The command line: `python -m keras_koopman report | demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: as typed after `python -m keras_koopman`. Defaults to None: those of this process.

    Returns:
        The exit code: 0, or 2 after an error that one line on standard error tells.
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "demo":
            from .demo import run

            run(epochs=options.epochs)
        else:
            from .plotting import write_report

            print(f"Wrote {write_report(options.stores, options.output, options.window)}")
    except (ImportError, OSError, ValueError) as error:
        print(f"keras_koopman {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m keras_koopman", description="Look at a Keras training run as a dynamical system."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="write an HTML page on one recorded run, or on several")
    report.add_argument("stores", nargs="+", metavar="run.zarr", help="folder of a store")
    report.add_argument("-o", "--output", default="report.html", metavar="report.html", help="page to write")
    report.add_argument(
        "--window", type=_at_least(2), default=64, help="records that the spectrum looks at (default: 64)"
    )
    demo = commands.add_parser("demo", help="train a small network, write demo/report.html")
    demo.add_argument("--epochs", type=_at_least(1), default=40, help="how long to train (default: 40)")
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    """Type of a whole number of some size, for argparse."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, got {text!r}")
        return int(text)

    return parse
