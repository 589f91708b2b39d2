"""One layer as a Verilog module: its window, sources, SNGs, neurons and activations.

Each op is emitted by its cell kind. Buses are packed with lane 0 in the least significant bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sccc.backends.verilog import cell_modules, counts, early_exit, groups, images, library
from sccc.backends.verilog.buses import bus_width, parameter_width, per_lane, sign_magnitude
from sccc.backends.verilog.multiply import multiplier_module, multipliers, number_width
from sccc.backends.verilog.names import Names, comment
from sccc.backends.verilog.render import packed, sized
from sccc.cells import (
    Arbiter,
    Comb,
    CountCell,
    Fold,
    Fsm,
    Gather,
    GroupCell,
    Memory,
    MultiplyAdd,
    Race,
    SourceCell,
    Wire,
)
from sccc.counting import ALL_SAVINGS, Savings
from sccc.diagnostics import InternalError
from sccc.ir import Operation, Value
from sccc.neurons import constant_streams, root_source
from sccc.ops import REGISTRY
from sccc.ops.geometry import geometry_of
from sccc.ops.source import source_lanes
from sccc.schedule import is_instant
from sccc.sources import CounterSource, LfsrSource
from sccc.types import Count, Encoding, Level, Random, Stream, Total, lane_width, signed_width

if TYPE_CHECKING:
    from sccc.backends.verilog.injection import Injection


NEVER = "1'b0"


@dataclass
class LayerModule:
    """An emitted layer: its text, library modules used, and the Verilog name of each value inside it.

    `ports` are the names of the output ports; an input's is its signal. `registers`: the hierarchical names of the registers of
    sums and state machines, by their result.
    """

    name: str
    text: str
    used: dict[str, str]
    signals: dict[Value, str]
    inputs: list[Value]
    ports: dict[Value, str]
    ops: list[Operation]
    registers: dict[Value, str]
    register_bits: dict[Value, int]
    masks: list[Injection] = field(default_factory=list)

    @property
    def stops(self) -> bool:
        """Whether the window may end early."""
        return bool(early_exit.races(self.ops))


@dataclass
class LayerEmitter:
    """Collects the text of one layer module. `modules` hands out the names of modules, of this one too."""

    name: str
    modules: Names
    ops: list[Operation]
    outputs: list[Value]
    length: int
    origin: str
    savings: Savings = ALL_SAVINGS
    lines: list[str] = field(default_factory=list)
    neurons: list[str] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)
    signals: dict[Value, str] = field(default_factory=dict)
    signs: dict[Value, str] = field(default_factory=dict)
    complete: dict[Value, str] = field(default_factory=dict)
    registers: dict[Value, str] = field(default_factory=dict)
    register_bits: dict[Value, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = Names(("clk", "rst", "go", "running", "t", "done", "window", "ended", "safe"))
        inside = {op.result for op in self.ops}
        self.inputs = list(dict.fromkeys(v for op in self.ops for v in op.operands if v not in inside))

    # -- the module as a whole ----------------------------------------------------------------------------------

    def emit(self) -> LayerModule:
        self.time_bits = max(1, (self.length - 1).bit_length(), *(b.bits for b in self._sources()))
        for value in self.inputs:
            self.signals[value] = self.names.make(value.name, value.name)
        for op in self.ops:
            self._emit_op(op)
        outputs = {value: self.names.make(f"{self.signals[value]}_out") for value in self.outputs}
        ports = self._ports(outputs)
        head = [f"// layer {self.name}: {comment(self.origin)}", f"module {self.name} (", ",\n".join(ports), ");"]
        text = "\n".join([*head, *self._window(), *self.lines, "endmodule", ""])
        text = "\n".join([*self.neurons, text])
        return LayerModule(
            self.name, text, self.used, self.signals, self.inputs, outputs, self.ops, self.registers, self.register_bits
        )

    def _window(self) -> list[str]:
        """What says when the layer runs and when it has ended."""
        if not any(op.result and isinstance(op.result.type, Count | Stream) for op in self.ops) and not is_instant(
            self.ops
        ):
            return ["  // Levels only: the result is in its registers a cycle after go.", "  assign done = go;"]
        if is_instant(self.ops):
            lines = ["  reg ended;", "  always @(posedge clk) ended <= go && !rst;", "  assign done = ended;"]
            return ["  // A new sample may come in every cycle.", *lines]
        self.use("sccc_window", library.WINDOW)
        stops = bool(early_exit.races(self.ops))
        return [
            "  wire running;",
            f"  wire [{self.time_bits - 1}:0] t;",
            *(["  wire safe;"] if stops else []),
            f"  sccc_window #(.LENGTH({self.length}), .T_BITS({self.time_bits})) window (\n"
            f"    .clk(clk), .rst(rst), .go(go), .stop({'running && safe' if stops else NEVER}), .running(running), .t(t), "
            ".done(done)\n  );",
        ]

    def _sources(self) -> list[Random]:
        return [op.result.type for op in self.ops if op.name == "sc.source"] or [Random((), 1)]  # type: ignore[union-attr, misc]

    def _ports(self, outputs: Mapping[Value, str]) -> list[str]:
        ports = ["  input  wire clk", "  input  wire rst", "  input  wire go", "  output wire done"]
        for value in self.inputs:
            ports.append(f"  input  wire [{bus_width(value.type) - 1}:0] {self.signals[value]}")
        for value, port in outputs.items():
            ports.append(f"  output wire [{bus_width(value.type) - 1}:0] {port}")
            self.lines.append(f"  assign {port} = {self.signals[value]};")
        return ports

    def use(self, name: str, text: str) -> str:
        """Instantiate a library module: remember that its text is needed."""
        self.used[name] = text
        return name

    def wire(self, value: Value, suffix: str = "", width: int = 0, kind: str = "wire") -> str:
        name = self.names.make(value.name + suffix, value.name)
        self.lines.append(f"  {kind} [{(width or bus_width(value.type)) - 1}:0] {name};")
        return name

    def instance(self, module: str, parameters: Mapping[str, object], label: str, ports: Mapping[str, str]) -> str:
        """An instance, one parameter a line when there are long ones; its name."""
        arguments = [f".{k}({v})" for k, v in parameters.items()]
        text = ", ".join(arguments) if sum(map(len, arguments)) < 100 else "\n    " + ",\n    ".join(arguments) + "\n  "
        connections = ", ".join(f".{k}({v})" for k, v in ports.items())
        head = f"  {module} #({text})" if arguments else f"  {module}"
        name = self.names.make(label)
        self.lines.append(f"{head} {name} (\n    {connections}\n  );")
        return name

    # -- ops by cell kind ---------------------------------------------------------------------------------------

    def _emit_op(self, op: Operation) -> None:
        if op.result is None:
            return
        cell = REGISTRY[op.name].cell
        constant = op.name == "sc.constant" or (op.name == "sc.sng" and self._is_constant(op.operands[0]))
        if constant or op.name == "sc.mask":
            return  # emitted by what reads it: a constant's streams exist once per distinct level, a mask once per SNG
        self.lines.append(
            f"\n  // %{comment(op.result.name)} = {op.name}" + (f" from {comment(op.origin)}" if op.origin else "")
        )
        if isinstance(cell, SourceCell):
            self._source(op)
        elif isinstance(cell, Gather):
            images.emit_gather(self, op)
        elif isinstance(cell, Fold):
            images.emit_fold(self, op)
        elif isinstance(cell, CountCell):
            self._dot(op)
        elif isinstance(cell, GroupCell):
            groups.emit_groups(self, op)
        elif isinstance(cell, MultiplyAdd):
            self._multiply_add(op) if geometry_of(op).window is None else images.emit_fixed_conv(self, op)
        elif isinstance(cell, Fsm):
            self.machine(op, op.name)
        elif isinstance(cell, Race):
            early_exit.emit_race(self, op)
        elif isinstance(cell, Memory):
            self._lookup(op)
        elif isinstance(cell, Arbiter):
            self._arbiter(op)
        elif isinstance(cell, Comb) and isinstance(op.result.type, Stream):
            self._sng(op)
        elif isinstance(cell, Comb):
            self._comb(op)
        elif isinstance(cell, Wire) and isinstance(op.result.type, Level):
            self._level(op)
        else:
            raise InternalError(f"no Verilog for {op!r}")

    @staticmethod
    def _is_constant(level: Value) -> bool:
        return level.op is not None and level.op.name == "sc.constant"

    def _source(self, op: Operation) -> None:
        assert op.result is not None and isinstance(op.result.type, Random)
        lanes, bits = source_lanes(op), op.result.type.bits
        counted = all(isinstance(s, CounterSource) for s in lanes)
        alone = counted and len(lanes) == 1
        name = self.signals[op.result] = self.wire(op.result, kind="reg" if alone else "wire")
        if counted:
            if alone:
                # In always blocks all sources of a layer change in one step, so that Icarus works out its products once a cycle;
                # of continuous assignments those with more XORs would come later.
                rows = [" ^ ".join(f"t[{k}]" for k in row) or "1'b0" for row in lanes[0].rows()]  # type: ignore[union-attr]
                self.lines.append(f"  always @* {name} = {{{', '.join(reversed(rows))}}};")
                return
            masks = [sum(1 << k for k in row) for s in lanes for row in s.rows()]  # type: ignore[union-attr]
            module = self.use("sccc_counter_sources", library.COUNTER_SOURCES)
            parameters = {"LANES": len(lanes), "BITS": bits, "ROWS": packed(masks, bits)}
            self.instance(module, parameters, f"{name}_source", {"t": f"t[{bits - 1}:0]", "random": name})
            return
        self._lfsrs(name, [s for s in lanes if isinstance(s, LfsrSource)], bits)

    def _lfsrs(self, name: str, lanes: list[LfsrSource], bits: int) -> None:
        width, taps = lanes[0].width, lanes[0].taps
        parameters = {"LANES": len(lanes), "WIDTH": width, "BITS": bits, "TAPS": sized(taps, width)}
        parameters["SEEDS"] = packed((s.seed for s in lanes), width)
        ports = {"clk": "clk", "go": "go", "running": "running", "random": name}
        self.instance(self.use("sccc_lfsr", library.LFSR), parameters, f"{name}_lfsr", ports)

    def _sng(self, op: Operation) -> None:
        level, random = op.operands
        assert op.result is not None and isinstance(level.type, Level)
        lanes, bits = level.type.lanes, level.type.bits
        source = self.signals[level]
        name = self.wire(op.result)
        self.signals[op.result] = name
        if level.type.encoding is Encoding.SIGNED:
            module = self.use("sccc_split_levels", library.SPLIT_LEVELS)
            magnitude = self.wire(op.result, "_magnitude", lanes * (bits + 1))
            sign = self.wire(op.result, "_sign", lanes)
            ports = {"level": source, "sign": sign, "magnitude": magnitude}
            self.instance(module, {"LANES": lanes, "BITS": bits}, f"{name}_split", ports)
            self.signs[op.result], source = sign, magnitude
        numbers = self._random(random, lanes)
        module = self.use(*(library.wbg() if op.name == "sc.wbg" else library.sng(shared=random.type.lanes == 1)))
        ports = {"level": source, "random": numbers, "bits": name}
        self.instance(module, {"LANES": lanes, "BITS": bits}, f"{name}_sng", ports)

    def _random(self, random: Value, lanes: int) -> str:
        """The signal of a random value; masks are XORed here."""
        if random in self.signals:
            return self.signals[random]
        assert random.op is not None and random.op.name == "sc.mask" and isinstance(random.type, Random)
        inner = random.op.operands[0]
        source, bits = self._random(inner, lanes), random.type.bits
        spread = f"{{{random.type.lanes}{{{source}}}}}" if inner.type.lanes == 1 else source
        masks = np.broadcast_to(np.asarray(random.op.attributes["masks"]), random.type.shape).reshape(-1)
        name = self.signals[random] = self.wire(random)
        self.lines.append(f"  assign {name} = {spread} ^ {packed(masks, bits)};")
        return name

    def streams(self, sng: Operation, label: str) -> tuple[Any, str]:
        """The distinct streams of a constant as one bus; the analysis and the bus's name."""
        streams = constant_streams(sng)
        random = root_source(sng.operands[1]).result
        assert random is not None and isinstance(random.type, Random) and sng.result is not None
        bits, count = random.type.bits, len(streams.levels)
        name = self.names.make(label, sng.result.name)
        self.lines.append(f"  wire [{max(count, 1) - 1}:0] {name};")
        if count == 0:
            self.lines.append(f"  assign {name} = 1'b0;")
            return streams, name
        module = self.use("sccc_constant_streams", library.constant_streams())
        sources = random.type.lanes
        index = max(1, (sources - 1).bit_length())
        self.lines += [
            f"  {module} #(",
            f"    .STREAMS({count}), .SOURCES({sources}), .BITS({bits}), .INDEX({index}),",
            f"    .LEVELS({packed(streams.levels, bits + 1)}),",
            f"    .MASKS({packed(streams.masks, bits)}),",
            f"    .SOURCE({packed(streams.sources, index)})",
            f"  ) {self.names.make(f'{name}_sng')} (.random({self.signals[random]}), .streams({name}));",
        ]
        return streams, name

    def _dot(self, op: Operation) -> None:
        counts.emit_counts(self, op)

    def _multiply_add(self, op: Operation) -> None:
        """Dot products of numbers: one module per output, and a register for all of them."""
        x = op.operands[0]
        assert op.result is not None and isinstance(x.type, Level)
        numbers = self.numbers(x)
        width, following = lane_width(op.result.type), self.wire(op.result, "_next")
        for j, each in enumerate(multipliers(op)):
            module = self.modules.make(f"{self.name}_neuron_{j}")
            origin = f"output {j} of {comment(op.origin) or self.name}"
            self.neurons.append(multiplier_module(module, origin, each, x.type, width))
            total = f"{following}[{j * width} +: {width}]"
            self.lines.append(f"  {module} {self.names.make(f'neuron_{j}')} (.x({numbers}), .total({total}));")
        self.register_total(op, following)

    def numbers(self, x: Value) -> str:
        """Levels as the unsigned numbers that fixed-point neurons take."""
        assert isinstance(x.type, Level)
        name = self.wire(x, "_number", x.type.lanes * number_width(x.type))
        parameters = {"LANES": x.type.lanes, "BITS": x.type.bits, "SIGN": int(x.type.encoding is Encoding.SIGNED)}
        module = self.use("sccc_numbers", library.NUMBERS)
        self.instance(module, parameters, f"{name}s", {"level": self.signals[x], "number": name})
        return name

    def register_total(self, op: Operation, following: str) -> None:
        """Take a fixed-point sum when the layer is told to go."""
        assert op.result is not None
        name = self.signals[op.result] = self.names.make(op.result.name, op.result.name)
        self.lines.append(f"  reg [{bus_width(op.result.type) - 1}:0] {name};")
        self.lines.append(f"  always @(posedge clk) if (go) {name} <= {following};")
        self.registers[op.result], self.register_bits[op.result] = name, bus_width(op.result.type)

    def machine(self, op: Operation, kind: str, running: str = "running") -> None:
        """The state machines of op `kind`, with the parameters and names of `op`."""
        definition, fsm = REGISTRY[op.name], REGISTRY[kind].cell
        assert op.result is not None and isinstance(fsm, Fsm)
        count, lanes = op.operands[0], op.result.type.lanes
        values = definition.parameters(op)
        lowest = int(np.min(fsm.lowest.evaluate(values)))
        highest = int(np.max(fsm.highest.evaluate(values)))
        module = self.use(cell_modules.module_name(kind), cell_modules.fsm_module(kind))
        name = self.signals[op.result] = self.wire(op.result)
        own = {p: values[p] for p in cell_modules.fsm_parameters(kind)}
        width = parameter_width(own)
        bits = signed_width(lowest, highest)
        parameters: dict[str, object] = {"LANES": lanes, "W": bits, "CW": lane_width(count.type), "PW": width}
        parameters["START"] = per_lane(np.asarray(fsm.initial.evaluate(values)), bits, op.result.type.shape)
        parameters |= {p.upper(): per_lane(v, width, op.result.type.shape) for p, v in own.items()}
        ports = {"clk": "clk", "go": "go", "running": running, "count": self.signals[count]}
        ports["bits" if fsm.out is not None else "states"] = name
        self.registers[op.result] = self.instance(module, parameters, f"{name}_fsm", ports) + ".state"
        self.register_bits[op.result] = lanes * bits
        # Sums that may end early are read after `done` too.
        if fsm.out is None and self.savings.isolation and not early_exit.races([op]):
            self.complete[op.result] = self.names.make(f"{name}_complete")
            size = bus_width(op.result.type)
            self.lines.append(f"  wire [{size - 1}:0] {self.complete[op.result]} = {name} & {{{size}{{done}}}};")

    def total(self, value: Value) -> str:
        """The signal of an integer for what computes with it; that of a sum is 0 until the sum is complete (operand isolation)."""
        return self.complete.get(value, self.signals[value])

    def _comb(self, op: Operation) -> None:
        """An integer op, lane by lane: sc.rescale, sc.offset, sc.add."""
        assert op.result is not None
        definition = REGISTRY[op.name]
        lanes = op.result.type.lanes
        values = definition.parameters(op)
        operands = dict(zip(definition.operands, op.operands, strict=True))
        bits = {o: self._constant_bits(v, values, o) for o, v in operands.items() if isinstance(v.type, Stream)}
        module = self.use(cell_modules.module_name(op.name), cell_modules.comb_module(op.name, tuple(bits)))
        name = self.signals[op.result] = self.wire(op.result)
        ports, width_in = self._integer_operands({o: v for o, v in operands.items() if o not in bits})
        width_out = lane_width(op.result.type)
        own = {p: values[p] for p in cell_modules.comb_parameters(op.name)}
        # Wide enough for the product of the operand with the widest parameter, doubled, and for the result.
        width = width_in + width_out + parameter_width(own) + 2
        parameters: dict[str, object] = {"LANES": lanes, "IW": width_in, "OW": width_out, "PW": width}
        parameters |= {p.upper(): per_lane(v, width, op.result.type.shape) for p, v in own.items()}
        self.instance(module, parameters, f"{name}_lanes", {**ports, **bits, "result": name})

    def _integer_operands(self, operands: Mapping[str, Value]) -> tuple[dict[str, str], int]:
        """Operands as integers of one width: their signals, and the width."""
        levels = [v.type for v in operands.values() if isinstance(v.type, Level)]
        if not levels:
            ((name, value),) = operands.items()
            return {name: self.total(value)}, lane_width(value.type)
        width = max(images.integer_width(kind) for kind in levels)
        return {name: images.integers(self, value, width) for name, value in operands.items()}, width

    def _constant_bits(self, stream: Value, parameters: dict[str, np.ndarray], operand: str) -> str:
        """The bits of a constant's streams, one per lane; their signs become a parameter `OPERAND_sign`."""
        assert stream.op is not None
        streams, bus = self.streams(stream.op, f"{stream.name}s")
        parameters[f"{operand}_sign"] = streams.signs
        lanes = [
            f"{bus}[{k}]" if k >= 0 else f"1'b{b}"
            for k, b in zip(streams.index.flat, streams.constant_bits.flat, strict=True)
        ]
        name = self.wire(stream)
        self.signals[stream] = name
        self.lines.append(f"  assign {name} = {{{', '.join(reversed(lanes))}}};")
        return name

    def _registered(self, op: Operation, comb: str) -> None:
        """Hold a level from the end of this window to the end of the next."""
        assert op.result is not None
        name = self.names.make(op.result.name, op.result.name)
        self.signals[op.result] = name
        self.lines.append(f"  reg [{bus_width(op.result.type) - 1}:0] {name};")
        self.lines.append(f"  always @(posedge clk) if (done) {name} <= {comb};")

    def _lookup(self, op: Operation) -> None:
        address = op.operands[0]
        assert op.result is not None and isinstance(address.type, Total) and isinstance(op.result.type, Level)
        width, entry = lane_width(address.type), lane_width(op.result.type)
        table = np.asarray(op.attributes["table"])
        entries = [sign_magnitude(int(v), op.result.type) for v in table]
        module = self.modules.make(f"{self.name}_lookup")
        text = cell_modules.lookup_module(module, op.result.type.lanes, address.type.lo, entries, width, entry)
        self.neurons.append(text)
        comb = self.wire(op.result, "_next")
        self.instance(module, {}, f"{comb}_lookup", {"address": self.total(address), "level": comb})
        self._registered(op, comb)

    def _level(self, op: Operation) -> None:
        source = op.operands[0]
        assert isinstance(source.type, Total)
        self.register_level(op, self.total(source), lane_width(source.type))

    def register_level(self, op: Operation, total: str, width: int) -> None:
        """Take two's complement integers of `width` bits as the op's levels."""
        assert op.result is not None and isinstance(op.result.type, Level)
        module = self.use("sccc_levels", library.LEVELS)
        comb = self.wire(op.result, "_next")
        sign = int(op.result.type.encoding is Encoding.SIGNED)
        parameters = {"LANES": op.result.type.lanes, "W": width, "BITS": op.result.type.bits, "SIGN": sign}
        self.instance(module, parameters, f"{comb}_levels", {"total": total, "level": comb})
        self._registered(op, comb)

    def _arbiter(self, op: Operation) -> None:
        total = op.operands[0]
        assert op.result is not None
        module = self.use("sccc_argmax", library.ARGMAX)
        name = self.wire(op.result)
        self.signals[op.result] = name
        parameters = {"LANES": total.type.lanes, "W": lane_width(total.type), "IW": lane_width(op.result.type)}
        self.instance(module, parameters, f"{name}_argmax", {"total": self.total(total), "index": name})
