"""Reads an ONNX file and checks what concerns the file as a whole."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message

from sccc.diagnostics import Collector, Location, SccError
from sccc.frontend.names import shown

LARGEST_FILE = 1 << 31
MOST_NODES = 20_000
OLDEST_OPSET = 9

Opsets = dict[str, int]


def read_model(path: Path) -> onnx.ModelProto:
    """The model in the file, without its external data. Raises SccError when there is none."""
    place = Location(file=shown(str(path)))
    model = onnx.ModelProto()
    try:
        model.ParseFromString(_read_bytes(path, place))
    except DecodeError as error:
        raise SccError("not an ONNX model, or a truncated one", place, "export the model again") from error
    if not model.ir_version or not model.HasField("graph"):
        raise SccError("not an ONNX model: it has no graph", place, "export the model again")
    if not _all_text(model):
        raise SccError("the file is damaged: it holds text that is not UTF-8", place, "export the model again")
    return model


def _all_text(message: Message) -> bool:
    """Whether every string in a message is one: protobuf hands out bytes where it is not valid UTF-8."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if any(isinstance(text, bytes) for text in ([value] if isinstance(value, str | bytes) else value)):
                return False
        elif field.type == field.TYPE_MESSAGE and not all(
            _all_text(part) for part in ([value] if isinstance(value, Message) else value)
        ):
            return False
    return True


def _read_bytes(path: Path, place: Location) -> bytes:
    try:
        if path.is_dir():
            raise SccError("is a folder, not an ONNX file", place, "give the .onnx file inside it")
        if not path.is_file():
            problem = "is not a regular file" if path.exists() else "no such file"
            raise SccError(problem, place, "give the path of an .onnx file")
        size = path.stat().st_size
        if size >= LARGEST_FILE:
            raise SccError(f"{size:,} bytes is more than an ONNX file can hold (2 GiB)", place, "use external data")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise SccError(f"cannot be read: {getattr(error, 'strerror', None) or error}", place) from error
    if not data:
        raise SccError("the file is empty", place, "export the model again")
    return data


def read_opsets(model: onnx.ModelProto, path: Path, collector: Collector) -> Opsets:
    """The version of each operator set the model imports ('' is ONNX's own), with the problems collected."""
    place = Location(file=shown(str(path)))
    newest = onnx.defs.onnx_opset_version()
    opsets: Opsets = {}
    for entry in model.opset_import:
        domain = plain_domain(entry.domain)
        if opsets.setdefault(domain, entry.version) != entry.version:
            collector.add(f"operator set '{shown(domain or 'ai.onnx')}' is imported in two versions", place)
    if "" not in opsets:
        collector.add("the model imports no operator set of ONNX (ai.onnx)", place, "export the model again")
        opsets[""] = newest
    elif not OLDEST_OPSET <= opsets[""] <= newest:
        collector.add(
            f"opset {opsets['']} is not supported, only {OLDEST_OPSET} to {newest}",
            place,
            f"export with opset_version={max(OLDEST_OPSET, min(newest, 17))}, or use onnx.version_converter",
        )
        opsets[""] = min(max(opsets[""], OLDEST_OPSET), newest)
    if model.ir_version > onnx.IR_VERSION:
        collector.add(
            f"IR version {model.ir_version} is newer than the installed onnx knows ({onnx.IR_VERSION})",
            place,
            "update the onnx package, or export with an older IR version",
        )
    return opsets


def check_graph(model: onnx.ModelProto, path: Path) -> None:
    """Refuse graphs that cannot be walked at all."""
    place = Location(file=shown(str(path)))
    if not model.graph.node:
        raise SccError("the graph is empty: it has no nodes", place, "export a trained network")
    if len(model.graph.node) > MOST_NODES:
        raise SccError(f"the graph has {len(model.graph.node):,} nodes; at most {MOST_NODES:,} are read", place)


def plain_domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain
