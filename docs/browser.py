"""A page in headless Chromium, driven by chromedriver (Debian: chromium, chromium-driver).

python docs/browser.py         # makes docs/images/report.png, the screenshot in docs/report.md
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

WIDTH = 1200
"""Pixels of the window."""

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-device-scale-factor=1",
)  # fmt: skip

MODEL, DATA = "examples/mnist_mlp/mnist_mlp_tanh.onnx", "examples/mnist_mlp/mnist_sample.npz"


def available() -> bool:
    """Whether browser and driver are installed."""
    return all(shutil.which(program) for program in ("chromium", "chromedriver"))


@contextmanager
def opened(page: Path) -> Iterator[Any]:
    """A selenium driver that shows the page. Its log "browser" holds what the console says, "performance" all requests."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--window-size={WIDTH},1000"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        driver.get(page.resolve().as_uri())
        yield driver
    finally:
        driver.quit()


def requests(driver: Any) -> list[str]:
    """The addresses that the page has asked for, itself among them."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def picture(driver: Any, until: str) -> bytes:
    """A PNG of the page from its top to the end of the element with this identifier."""
    height = driver.execute_script(f"return document.getElementById('{until}').getBoundingClientRect().bottom")
    frame = driver.execute_script("return window.outerHeight - window.innerHeight")
    driver.set_window_size(WIDTH, int(height) + frame + 24)
    return bytes(driver.get_screenshot_as_png())


def main() -> None:
    from sccc.cli import main as sccc

    with tempfile.TemporaryDirectory() as folder:
        sweep, page = f"{folder}/sweep.json", f"{folder}/report.html"
        data = [str(HERE.parent / MODEL), "--data", str(HERE.parent / DATA)]
        axes = ["--lengths", "4,8,16,32,64", "--styles", "accumulate,streaming"]
        code = sccc(["sweep", *data, *axes, "--cache", folder, "--json", sweep])
        code = code or sccc(["report", *data, "--length", "32", "--html", page, "--sweep", sweep])
        if code:
            sys.exit(code)
        with opened(Path(page)) as driver:
            (HERE / "images" / "report.png").write_bytes(picture(driver, "cost"))


if __name__ == "__main__":
    main()
