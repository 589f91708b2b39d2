"""Where Yosys, OpenSTA and the Liberty file are, and getting them from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from sccc.diagnostics import Collector, Location, SccError

PACKAGES = {"yosys": "yosys", "sta": "opensta"}
"""Commands, and the Debian packages that hold them."""

LIBERTY_PACKAGE = "qflow-tech-osu018"
"""Debian's package of the OSU 0.18 um standard cells (Oklahoma State University; TSMC rules). Installed whole it pulls in
qflow, magic and more; of itself it is 62 KB, so it is only unpacked."""

LIBERTY_PATH = Path("usr/share/qflow/tech/osu018/osu018_stdcells.lib")

ADVICE = "run `sccc setup-eda` or `make eda`: both take it from Debian's packages"


def eda_folder() -> Path:
    """Where the Liberty file is unpacked: $SCCC_EDA, or ~/.cache/sccc/eda."""
    return Path(os.environ.get("SCCC_EDA") or Path.home() / ".cache" / "sccc" / "eda")


def find_liberty(given: str | None = None) -> Path:
    """The Liberty file: the one given, the one unpacked by setup-eda, or an installed one. Raises SccError."""
    if given:
        path = Path(given)
        if not path.is_file():
            raise SccError("there is no such file", Location(file=given, option="--liberty"), "give a Liberty file")
        return path
    for root in (eda_folder(), Path("/")):
        if (root / LIBERTY_PATH).is_file():
            return root / LIBERTY_PATH
    raise SccError(
        f"no Liberty file: {LIBERTY_PATH.name} is neither in {eda_folder()} nor installed",
        Location(option="--synth"),
        ADVICE + ", or give one with --liberty",
    )


def require_tools(*commands: str) -> None:
    """Raises SccError naming every command that is missing."""
    problems = Collector()
    for command in commands:
        if shutil.which(command) is None:
            problems.add(
                f"{command} is not installed (Debian's {PACKAGES[command]})", Location(option="--synth"), ADVICE
            )
    problems.raise_if_any()


def setup_eda(say: Callable[[str], None] = print) -> Path:
    """Install what is missing; where the Liberty file is. Raises SccError when something cannot be had."""
    missing = [command for command in PACKAGES if shutil.which(command) is None]
    if missing:
        packages = [PACKAGES[command] for command in missing]
        say(f"installing {', '.join(packages)}")
        _as_root(["apt-get", "update", "-qq"])
        _as_root(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages])
    try:
        return find_liberty()
    except SccError:
        say(f"unpacking {LIBERTY_PACKAGE} into {eda_folder()}")
    _unpack(LIBERTY_PACKAGE, eda_folder())
    return find_liberty()


def _as_root(command: list[str]) -> None:
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    wanted = " ".join(command)
    tool = (prefix or command)[0]
    if shutil.which(tool) is None:
        raise SccError(
            f"{tool} is not here, so nothing can be installed", advice=f"install by hand what `{wanted}` would"
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SccError(f"`{wanted}` failed: {done.stderr.strip()[-500:]}", advice=f"run `{wanted}` as root")


def _unpack(package: str, folder: Path) -> None:
    """Download a package and unpack it; no root needed."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            advice = f"give another Liberty file with --liberty, or unpack Debian's {package} into {folder}"
            raise SccError(f"{tool} is not here, so {package} cannot be had", advice=advice)
    with tempfile.TemporaryDirectory(prefix="sccc_eda_") as temporary:
        os.chmod(temporary, 0o755)  # apt's own user reads it
        got = subprocess.run(
            ["apt-get", "download", package], cwd=temporary, capture_output=True, text=True, check=False
        )
        found = list(Path(temporary).glob("*.deb"))
        if got.returncode or not found:
            advice = "run `apt-get update` first, or give another Liberty file with --liberty"
            raise SccError(f"`apt-get download {package}` failed: {got.stderr.strip()[-500:]}", advice=advice)
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["dpkg", "-x", str(found[0]), str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SccError(f"`dpkg -x` failed: {done.stderr.strip()[-500:]}", Location(file=str(folder)))
