"""Sweeps: the accuracy of a network over stream lengths, flipped bits, encodings and styles.

A point is one configuration on all samples. Points run in processes of this machine or on a dask cluster, through joblib, and
each is kept as one JSON file whose name is the hash of all that it depends on, so that a sweep that was stopped goes on.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sccc import __version__
from sccc.config import Config
from sccc.data import Data
from sccc.diagnostics import Collector, Location, SccError
from sccc.digest import digest, pack
from sccc.files import write_files
from sccc.ir import Module
from sccc.sweep_work import Compiled, Group, compile_point, prefix_groups, simulate_group

CONFIDENCE = 1.959963984540054
"""Standard deviations of a normal distribution that hold 95 %."""

CACHE_VERSION = 1
"""Raised when a point's file holds something else than before."""


@dataclass(frozen=True)
class Point:
    """One configuration: a style and an encoding as options have them, a stream length and a probability of flips."""

    style: str
    encoding: str
    length: int
    flip_rate: float


@dataclass(frozen=True)
class Sweep:
    """What is swept. base: the options that all points share; flips: the kinds of bits that flip (see `Simulator`)."""

    lengths: Sequence[int]
    flip_rates: Sequence[float] = (0.0,)
    encodings: Sequence[str] = ("auto",)
    styles: Sequence[str] = ("auto",)
    base: Config = field(default_factory=Config)
    flips: Sequence[str] = ("operand",)

    def points(self) -> list[Point]:
        made = itertools.product(self.styles, self.encodings, self.lengths, self.flip_rates)
        return [Point(*each) for each in made]

    def config(self, point: Point) -> Config:
        """The compilation options of a point. Raises SccError."""
        options = replace(self.base.options, style=point.style, encoding=point.encoding, length=point.length)
        return Config(options, self.base.layers)


def wilson(right: int, samples: int, sigmas: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927): bounds within 0 .. 1, which hold for few samples and near the ends too."""
    if samples == 0:
        return 0.0, 1.0
    share, spread = right / samples, sigmas**2 / samples
    middle = (share + spread / 2) / (1 + spread)
    reach = sigmas / (1 + spread) * math.sqrt(share * (1 - share) / samples + spread / (4 * samples))
    return max(0.0, middle - reach), min(1.0, middle + reach)


class Cache:
    """Results of points, one JSON file each, in a folder that is made when it is first written to."""

    def __init__(self, folder: Path, shared: str) -> None:
        self.folder, self.shared = folder, shared

    def path(self, sweep: Sweep, point: Point) -> Path:
        config = {**asdict(sweep.config(point).options), "layers": repr(sorted(sweep.base.layers.items()))}
        key = digest(
            CACHE_VERSION, __version__, self.shared, sorted(config.items()), point.flip_rate, tuple(sweep.flips)
        )
        return self.folder / f"{key[:32]}.json"

    def load(self, sweep: Sweep, point: Point) -> dict[str, Any] | None:
        """The result of a point; None where there is none, or a damaged one."""
        try:
            result = json.loads(self.path(sweep, point).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return result if isinstance(result, dict) and result.get("point") == asdict(point) else None

    def store(self, sweep: Sweep, point: Point, result: dict[str, Any]) -> None:
        """Keep a result. Raises SccError when the folder cannot be written."""
        path = self.path(sweep, point)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SccError(
                f"cannot be made: {error.strerror}", Location(file=str(self.folder)), "give --cache"
            ) from error
        write_files({path: json.dumps(result, indent=1, sort_keys=True) + "\n"})


def cache_folder() -> Path:
    """Where results are kept when nothing else is said."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sccc" / "sweep"


def run_sweep(
    source: Module,
    data: Data,
    sweep: Sweep,
    *,
    calibration: np.ndarray | None = None,
    cache: Path | None = None,
    jobs: int = 0,
    cluster: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """All points in order, as plain data.

    Keys: point {style, encoding, length, flip_rate}, samples, right, accuracy, low and high (95 %, Wilson), cycles (from start to
    valid), from_prefix (the length of the run that it was read off, 0: its own), cached; or point and refused, why there is none.
    jobs: processes at a time, 0: as many as cores. cluster: address of a dask scheduler. Raises SccError for what concerns
    all points.
    """
    assert data.y is not None
    points = sweep.points()
    _check(sweep, points)
    kept = Cache(cache or cache_folder(), digest(source, data.x, data.y, calibration))
    results = {point: found for point in points if (found := kept.load(sweep, point)) is not None}
    for result in results.values():
        result["cached"] = True
    missing = [point for point in points if point not in results]
    done = [len(results)]

    def store(point: Point, result: dict[str, Any]) -> None:
        result = {"point": asdict(point), **result}
        kept.store(sweep, point, result)
        results[point] = {**result, "cached": False}
        done[0] += 1
        if progress is not None:
            progress(done[0], len(points))

    with Runner(jobs, cluster) as run:
        _run_missing(source, data, sweep, missing, calibration, run, store)
    return [results[point] for point in points]


def _check(sweep: Sweep, points: Iterable[Point]) -> None:
    """Every point has legal options. Raises SccError with each problem once."""
    problems = Collector()
    for point in points:
        with problems.catching():
            sweep.config(point)
    problems.diagnostics = list(dict.fromkeys(problems.diagnostics))
    problems.raise_if_any()


def _run_missing(
    source: Module,
    data: Data,
    sweep: Sweep,
    missing: list[Point],
    calibration: np.ndarray | None,
    run: Runner,
    store: Callable[[Point, dict[str, Any]], None],
) -> None:
    """Compile and simulate what is missing; each point is stored as soon as it is there."""
    groups = list(_groups(source, sweep, missing, calibration, run, store))
    tasks = [(group, data.x, data.y, tuple(sweep.flips), run.threads) for group in groups]
    for group, answer in run(simulate_group, tasks):
        if isinstance(answer, str):
            for member in groups[group].members:
                store(Point(*member.key), {"refused": answer})
            continue
        for member, right in zip(groups[group].members, answer, strict=True):
            low, high = wilson(right, len(data.x))
            from_prefix = groups[group].length if member.length != groups[group].length else 0
            figures = {
                "samples": len(data.x),
                "right": right,
                "accuracy": right / len(data.x),
                "low": low,
                "high": high,
            }
            store(Point(*member.key), {**figures, "cycles": member.cycles, "from_prefix": from_prefix})


def _groups(
    source: Module,
    sweep: Sweep,
    points: Iterable[Point],
    calibration: np.ndarray | None,
    run: Runner,
    store: Callable[[Point, dict[str, Any]], None],
) -> Iterator[Group]:
    """What is to be simulated: the missing points, compiled, those together that one run answers. Refused points are stored."""
    wanted: dict[tuple[str, str, int], list[Point]] = {}
    for point in points:
        wanted.setdefault((point.style, point.encoding, point.length), []).append(point)
    keys, packed = list(wanted), pack(source)
    tasks = [(packed, sweep.config(wanted[key][0]), calibration) for key in keys]
    compiled: dict[tuple[str, str, int], Compiled] = {}
    for number, made in run(compile_point, tasks):
        key = keys[number]
        if made.refused:
            for point in wanted[key]:
                store(point, {"refused": made.refused})
        else:
            compiled[key] = made
    rates = sorted({point.flip_rate for point in points})
    for style, encoding in dict.fromkeys((key[0], key[1]) for key in keys):
        for rate in rates:
            family = {
                key[2]: made
                for key, made in compiled.items()
                if key[:2] == (style, encoding) and Point(style, encoding, key[2], rate) in wanted[key]
            }
            yield from prefix_groups(family, (style, encoding), rate, sweep.base.options.seed)


class Runner:
    """Runs a function on many arguments in processes here, or on a dask cluster; results come as they are ready."""

    def __init__(self, jobs: int, cluster: str) -> None:
        self.cluster = cluster
        cores = len(os.sched_getaffinity(0))
        self.jobs = jobs or cores
        self.threads = 1 if cluster else max(1, cores // self.jobs)
        self.client = _client(cluster) if cluster else None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *problem: object) -> None:
        if self.client is not None:
            self.client.close()

    def __call__(self, function: Callable[..., Any], tasks: list[tuple[Any, ...]]) -> Iterator[tuple[int, Any]]:
        """(number of the task, result), in any order."""
        import joblib

        if self.client is None and (self.jobs == 1 or len(tasks) < 2):
            yield from ((number, function(*task)) for number, task in enumerate(tasks))
            return
        backend: dict[str, Any] = {"backend": "loky", "n_jobs": self.jobs, "inner_max_num_threads": self.threads}
        if self.client is not None:
            backend = {"backend": "dask", "client": self.client, "n_jobs": -1}
        with joblib.parallel_config(**backend):
            calls = (joblib.delayed(_numbered)(function, number, task) for number, task in enumerate(tasks))
            yield from joblib.Parallel(return_as="generator_unordered")(calls)


def _numbered(function: Callable[..., Any], number: int, task: tuple[Any, ...]) -> tuple[int, Any]:
    return number, function(*task)


def _client(address: str) -> Any:
    """A connection to a dask scheduler. Raises SccError when dask is missing or nobody answers."""
    place = Location(option="--cluster")
    try:
        from distributed import Client
    except ImportError:
        raise SccError("dask is not installed", place, "pip install 'sccc[cluster]', here and on the workers") from None
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise SccError(f"no dask scheduler answers at {address}: {error}", place, "like tcp://host:8786") from error
