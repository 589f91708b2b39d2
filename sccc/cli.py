"""The command line: argument parsing only. What the commands do is in sccc/commands.py and the modules of HANDLERS, imported when
one is run."""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import Field
from typing import Any, NoReturn

from sccc import __version__
from sccc.config import OPTION_FIELDS
from sccc.diagnostics import Diagnostic, SccError, closest, nearest
from sccc.learning_options import TRAINING_FIELDS

COMMANDS = ("compile", "simulate", "check", "report", "sweep", "train", "bench-training", "ops", "passes", "setup-eda")
HANDLERS = {
    "sweep": "sccc.sweep_cli",
    "ops": "sccc.listings",
    "passes": "sccc.listings",
    "report": "sccc.billing",
    "setup-eda": "sccc.billing",
    "train": "sccc.training_cli",
    "bench-training": "sccc.training_bench",
}
"""Modules that hold commands; the others are in sccc/commands.py."""

EMIT = ("verilog", "ir", "dot")

EXIT_OK, EXIT_MISMATCH, EXIT_USER_ERROR = 0, 1, 2

GARBAGE_THRESHOLD = 50_000
"""Containers made since Python last looked for cycles among them. At its own 700 that is up to a fifth of a compilation."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SccError(message, advice=f"see {self.prog} --help")

    def parse_known_args(
        self, args: Any = None, namespace: Any = None
    ) -> Any:  # of the whole line, and of a command's part
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            raise SccError(self._unknown(rest))
        return found, rest

    def _unknown(self, rest: list[str]) -> list[Diagnostic]:
        """What is wrong with arguments that are not taken."""
        flags = [word.partition("=")[0] for word in rest if word.startswith("-")]
        if not flags:
            return [Diagnostic(f"'{word}' is one argument too many", advice=f"see {self.prog} --help") for word in rest]
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        return [
            Diagnostic(f"{self.prog} has no option '{flag}'", advice=closest(flag, known) or f"see {self.prog} --help")
            for flag in flags
        ]


def main(argv: list[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0, 1 when `check` finds a mismatch, 2 when the user's input is refused."""
    arguments = sys.argv[1:] if argv is None else argv
    gc.set_threshold(GARBAGE_THRESHOLD)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files and nodes may hold anything
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SccError as error:
        print(error, file=sys.stderr)
        return EXIT_USER_ERROR
    except BrokenPipeError:
        # The reader of a pipe has had enough (sccc ops | head); Python would complain again when it flushes at exit.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    parser = _parser()
    if not arguments:
        parser.print_help()
        return EXIT_OK
    args = parser.parse_args(_with_command(arguments))
    module = importlib.import_module(HANDLERS.get(args.command, "sccc.commands"))
    result: int = getattr(module, f"run_{args.command.replace('-', '_')}")(args)
    return result


def _with_command(arguments: list[str]) -> list[str]:
    """`compile` is the default: put it in front unless another command or a global option is there."""
    if arguments[0] in (*COMMANDS, "-h", "--help", "--version"):
        return arguments
    first = arguments[0]
    if not first.startswith("-") and "." not in first and "/" not in first:
        raise SccError(f"unknown command '{first}'", advice=nearest(first, COMMANDS))
    return ["compile", *arguments]


def _parser() -> _Parser:
    parser = _Parser(
        prog="sccc",
        description="Compile trained neural networks (ONNX) into stochastic-computing hardware.",
        epilog="`sccc MODEL.onnx -o net.v` compiles; `sccc COMMAND --help` shows a command's options.",
    )
    parser.add_argument("--version", action="version", version=f"sccc {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_compile(commands)
    _add_simulate(commands)
    _add_check(commands)
    _add_report(commands)
    _add_sweep(commands)
    _add_train(commands)
    _add_bench_training(commands)
    doc = "install Yosys, OpenSTA and the OSU 0.18 um Liberty file from Debian's packages"
    commands.add_parser("setup-eda", help=doc, description=doc + ". `sccc report --synth` needs them.")
    for name, doc in (("ops", "list the operations of the IR"), ("passes", "list the passes and their options")):
        listing = commands.add_parser(name, help=doc, description=_sentence(doc))
        listing.add_argument("name", nargs="?", default="", help="show only this one, in full")
    return parser


def _add_compile(commands: Any) -> None:
    doc = "compile a model to Verilog, IR text or a graph (the default command)"
    parser = commands.add_parser("compile", help=doc, description=_sentence(doc))
    _add_model(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to write (default: MODEL's name beside the working folder)"
    )
    parser.add_argument(
        "--emit", choices=EMIT, default=None, help="what to write (default: by -o's ending, else verilog)"
    )
    parser.add_argument(
        "--testbench", action="store_true", help="also write a self-checking testbench, on --data or calibration"
    )
    parser.add_argument("--data", metavar="D.npz", help="samples for the testbench")
    parser.add_argument(
        "--samples", type=_positive, default=2, metavar="K", help="samples in the testbench (default 2)"
    )
    _add_early_exit(parser)
    _add_options(parser)


def _add_simulate(commands: Any) -> None:
    doc = "accuracy of the float model, the quantised model and the bit streams, and each layer's error"
    parser = commands.add_parser("simulate", help=doc, description=_sentence(doc))
    _add_model(parser)
    _add_data(parser)
    _add_flips(parser)
    parser.add_argument(
        "--kernels", choices=("numba", "numpy"), default="numba", help="compiled kernels or the plain reference"
    )
    _add_early_exit(parser)
    parser.add_argument(
        "--scc", action="store_true", help="also measure the correlation (SCC) of the streams that are multiplied"
    )
    _add_options(parser)


def _add_check(commands: Any) -> None:
    doc = "run the emitted RTL in Icarus or Verilator and compare every cycle with the simulator"
    parser = commands.add_parser("check", help=doc, description=_sentence(doc) + " Exit code 1 on a mismatch.")
    _add_model(parser)
    _add_data(parser)
    parser.add_argument("--samples", type=_positive, default=2, metavar="K", help="samples to run (default 2)")
    parser.add_argument(
        "--simulator", choices=("icarus", "verilator"), default="icarus", help="Verilator is for large networks"
    )
    parser.add_argument("--keep", metavar="FOLDER", help="leave netlist, testbench and memories there")
    _add_flips(parser)
    _add_early_exit(parser)
    _add_options(parser)


def _add_flips(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--flip-rate", type=_number, default=0.0, metavar="P", help="flip bits with probability P")
    parser.add_argument(
        "--flips",
        default="operand",
        metavar="operand,product,state",
        help="what flips by --flip-rate (default operand)",
    )
    parser.add_argument("--flip-sites", metavar="F.json", help="bits that flip besides; see docs/faults.md")


def _add_early_exit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--early-exit",
        default="",
        metavar="margin=auto",
        help="stop when the leading class is safe; see docs/early-exit.md",
    )


def _add_report(commands: Any) -> None:
    doc = "the hardware bill: gates, flip-flops, cycles, area and energy, estimated or synthesised"
    parser = commands.add_parser("report", help=doc, description=_sentence(doc))
    _add_model(parser)
    _add_data(parser, required=False)
    parser.add_argument(
        "--synth", action="store_true", help="synthesise with Yosys, time with OpenSTA, simulate the gates"
    )
    parser.add_argument(
        "--liberty", metavar="F.lib", default=None, help="the library (default: OSU 0.18 um, see `sccc setup-eda`)"
    )
    parser.add_argument(
        "--glitches", action="store_true", help="simulate the gates with unit delays: slow, and counts glitches in full"
    )
    parser.add_argument("--against", choices=("fixed",), default=None, help="compare with conventional fixed point")
    parser.add_argument(
        "--lengths",
        default="",
        metavar="8,16,32",
        help="stream lengths to compare; with --html alone, to sweep (default: --length)",
    )
    parser.add_argument("--widths", default="", metavar="8,6,4", help="bits of the fixed-point rivals (default 8)")
    parser.add_argument("--html", metavar="FILE", help="write one page with everything; see docs/report.md")
    parser.add_argument("--sweep", metavar="F.json", help="for --html: what `sccc sweep --json` wrote, to be shown too")
    _add_options(parser)


def _add_sweep(commands: Any) -> None:
    doc = "accuracy over stream lengths, flipped bits, encodings and styles: table, JSON and plots"
    parser = commands.add_parser("sweep", help=doc, description=_sentence(doc) + " See docs/sweep.md.")
    _add_model(parser)
    _add_data(parser)
    for flag, metavar, of in (
        ("--lengths", "8,16,32", "stream lengths"),
        ("--flip-rates", "0,0.01,0.05", "probabilities with which a bit flips"),
        ("--encodings", "signed,bipolar", "values of --encoding"),
        ("--styles", "accumulate,streaming", "values of --style"),
    ):
        parser.add_argument(flag, default="", metavar=metavar, help=f"{of} (default: the one that is set below)")
    parser.add_argument(
        "--flips", default="operand", metavar="operand,product,state", help="what flips (default operand)"
    )
    parser.add_argument(
        "--jobs", type=_natural, default=0, metavar="J", help="processes at a time (default: all cores)"
    )
    parser.add_argument("--cluster", default="", metavar="tcp://HOST:PORT", help="a dask scheduler to run on")
    parser.add_argument("--cache", metavar="FOLDER", help="where results are kept (default ~/.cache/sccc/sweep)")
    parser.add_argument("--plots", metavar="STEM", help="write STEM.png and STEM.svg")
    _add_options(parser)


def _add_train(commands: Any) -> None:
    doc = "train a network as it would learn on chip, by gradient counters, or by their rivals"
    parser = commands.add_parser("train", help=doc, description=_sentence(doc) + " See docs/training.md.")
    _add_model(parser)
    parser.add_argument("--data", metavar="D.npz", required=True, help="x_train, y_train, x_test and y_test")
    parser.add_argument("--limit", type=_natural, default=0, metavar="N", help="only the first N training samples")
    parser.add_argument("-o", "--output", metavar="FILE", help="the trained model: .onnx (the same graph) or .sc")
    parser.add_argument(
        "--against",
        choices=TRAINING_FIELDS["rule"].metadata["choices"],
        default=None,
        help="a second rule in the same run, to compare",
    )
    parser.add_argument("--from-scratch", action="store_true", help="start from new random weights")
    _add_fields(parser, (field for field in TRAINING_FIELDS.values() if field.metadata))
    parser.add_argument(
        "--checkpoint", metavar="F.npz", help="keep the state there after each epoch, and go on from it"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON (- for standard output)")


def _add_bench_training(commands: Any) -> None:
    doc = "weigh an array of gradient counters against fixed point, synthesised"
    parser = commands.add_parser("bench-training", help=doc, description=_sentence(doc) + " See docs/training.md.")
    parser.add_argument("--rows", type=_positive, default=16, metavar="M", help="errors of the tile (default 16)")
    parser.add_argument("--columns", type=_positive, default=16, metavar="N", help="inputs of the tile (default 16)")
    parser.add_argument("--step-bits", type=_positive, default=10, metavar="K", help="step 2**-K (default 10)")
    parser.add_argument("--layers", default="784,128,128,10", metavar="784,128,10", help="the network it stands for")
    parser.add_argument("--data", metavar="D.npz", help="train on it too, for accuracies and real activity")
    parser.add_argument("--epochs", type=_positive, default=20, help="epochs of the network (default 20)")
    parser.add_argument("--seed", type=_natural, default=1, help="of the training (default 1)")
    parser.add_argument("--liberty", metavar="F.lib", default=None, help="the library (default: OSU 0.18 um)")
    parser.add_argument("--json", metavar="FILE", help="write the results as JSON (- for standard output)")


def _sentence(doc: str) -> str:
    """With a capital first letter and a full stop. (str.capitalize would write JSON and RTL small.)"""
    return f"{doc[0].upper()}{doc[1:]}."


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="an .onnx file, or a .sc text file")


def _add_data(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument(
        "--data", metavar="D.npz", required=required, help="x and y, or x_test and y_test; uint8 is scaled by 1/255"
    )
    parser.add_argument(
        "--split", choices=("test", "train"), default="test", help="which of x_test, x_train (default test)"
    )
    parser.add_argument("--limit", type=_natural, default=0, metavar="N", help="only the first N samples")


def _add_options(parser: argparse.ArgumentParser) -> None:
    """The options of compilation, from `sccc.config.Options`. None means not given, so that a config file's value holds."""
    group = parser.add_argument_group("compilation")
    _add_fields(group, OPTION_FIELDS.values())
    group.add_argument(
        "--calibrate", metavar="D.npz", help="samples from which activation ranges and variances are measured"
    )
    group.add_argument(
        "--config", metavar="F.toml", help='options, and a table [layer."NAME"] for each layer that differs'
    )
    group.add_argument("--passes", default="", metavar='"..."', help="another pipeline, as shown by `sccc passes`")
    output = parser.add_argument_group("output")
    output.add_argument("--json", metavar="FILE", help="write the results as JSON (- for standard output)")
    output.add_argument("-v", "--verbose", action="store_true", help="show the IR after each pass, and timings")


def _add_fields(group: Any, fields: Iterable[Field[Any]]) -> None:
    """An argument for each field that is made by `sccc.config.option`; its value is None where it is not given."""
    for field in fields:
        flag = "--" + field.name.replace("_", "-")
        choices = field.metadata["choices"]
        shown = "|".join(choices) if choices else field.name.upper().split("_")[-1]
        text = f"{field.metadata['doc']} (default {field.default})"
        group.add_argument(flag, type=_TYPES[type(field.default)], default=None, metavar=shown, help=text)


def _positive(text: str) -> int:
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not positive")
    return value


def _natural(text: str) -> int:
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None


_TYPES: dict[type, Any] = {int: _whole, float: _number, str: str}


def option_values(args: argparse.Namespace) -> dict[str, Any]:
    """The compilation options that were given on the command line."""
    return {name: getattr(args, name) for name in OPTION_FIELDS if getattr(args, name) is not None}


if __name__ == "__main__":
    sys.exit(main())
