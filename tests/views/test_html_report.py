"""`sccc report --html`: one page that holds what the report knows, escaped, self-contained, the same bytes each time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from nets import Spec, build, compiled, data

import sccc
from sccc import billing, commands
from sccc.accuracy import layer_errors, layer_values, measure
from sccc.bill_tables import bill_columns, estimated
from sccc.cli import main
from sccc.config import make_config
from sccc.data import Data
from sccc.html_parts import number
from sccc.html_report import Contents, html_page
from sccc.html_sweep import load_sweep

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "docs"))

from browser import available, opened, requests  # noqa: E402

MODEL, SAMPLES = ROOT / "examples/digits_mlp/digits_mlp.onnx", ROOT / "examples/digits_mlp/digits.npz"

SPEC = Spec(sizes=(5, 4, 3), options={"length": 16})

SWEEP = {
    "samples": 500,
    "float": 0.972,
    "points": [
        {
            "point": {"style": "accumulate", "encoding": "auto", "length": n, "flip_rate": 0.0},
            "accuracy": 0.9, "low": 0.88, "high": 0.92, "cycles": 2 * n + 3, "right": 450, "samples": 500,
        }
        for n in (8, 16)
    ]
    + [{"point": {"style": "streaming", "encoding": "unipolar", "length": 8, "flip_rate": 0.0}, "refused": "<b>no</b>"}],
}  # fmt: skip


class Page(HTMLParser):
    """A page as sections: what stands in each, its table rows, and every attribute that may load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sections: dict[str, list[str]] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.loads: list[str] = []
        self.tags: set[str] = set()
        self._section = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        values = dict(attrs)
        self.loads += [
            v for k, v in attrs if k in ("src", "href", "xlink:href", "data", "action") and not v.startswith("#")
        ]
        if tag == "section":
            self._section = values["id"]
            self.sections[self._section], self.rows[self._section] = [], []
        if tag == "tr":
            self.rows[self._section].append([])

    def handle_data(self, text):
        if self._section and text.strip():
            self.sections[self._section].append(text)
            if self.rows[self._section] and self.lasttag in ("td", "th"):
                self.rows[self._section][-1].append(text.strip())


def contents(spec: Spec = SPEC, samples: int = 30, **more) -> Contents:
    module, x = compiled(spec), data(spec, samples)
    y = np.arange(samples) % 3
    bill = estimated(module)
    return Contents(module, make_config(spec.options), bill, bill_columns(bill), Data(x, y), **more)


def test_the_page_holds_accuracy_network_errors_cost_hierarchy_and_sweep():
    held = contents(sweep=SWEEP)
    page = Page(html_page(held))
    assert list(page.sections) == ["summary", "network", "errors", "cost", "netlist", "sweep", "options"]
    measured = measure(held.module, held.data)
    for value in measured["accuracy"].values():
        assert f"{100 * value:.2f} %" in page.sections["summary"]
    assert number(held.bill["gates"]) in page.sections["summary"]
    for text in ("x: unipolar, sobol 0", "w: signed, sobol 1", "accumulate, N = 16"):
        assert text in page.sections["network"]
    for row, layer in zip(page.rows["errors"][1:], layer_errors(held.module, held.data.x), strict=True):
        assert row == [number(value) for value in layer.values()]
    for row, layer in zip(page.rows["cost"][1:], held.bill["layers"], strict=False):
        assert row[: len(held.columns)] == [number(layer[key]) for key in held.columns]
    assert {"float", "quantised", "stream", "stream − quantised"} <= set(page.sections["errors"])
    assert page.rows["netlist"][1][:3] == ["net", "1", "1"]
    assert ["accumulate", "auto", "16", "0", "90.00", "88.00", "92.00", "35"] in page.rows["sweep"]
    assert ["--length", "16"] in [row[:2] for row in page.rows["options"]]
    page = Page(html_page(replace(held, config=make_config({}, {"<fc0>": {"style": "accumulate"}}))))
    assert page.rows["options"][-1] == ["<fc0>", "style", "accumulate"]


def test_pictures_in_the_page_are_svg_that_other_programs_read():
    pictures = re.findall(r"<svg.*?</svg>", html_page(contents(sweep=SWEEP)), re.DOTALL)
    assert len(pictures) == 5  # layers, operations, two histograms, the sweep
    identifiers = []
    for picture in pictures:
        if "xlink:" in picture:
            assert "xmlns:xlink" in picture
        identifiers += [e.get("id") for e in ElementTree.fromstring(picture).iter() if e.tag.endswith("clipPath")]
    assert len(identifiers) == len(set(identifiers)) > 0


def test_names_from_outside_are_escaped_and_nothing_is_loaded_or_run():
    held = contents(sweep=SWEEP)
    held.module.name = "<script>alert(1)</script>"
    for op in held.module:
        op.origin = '"><img src=x onerror=alert(1)>\x00'
    text = html_page(replace(held, bill=estimated(held.module)))
    page = Page(text)
    assert page.tags.isdisjoint({"script", "img", "link", "iframe", "object", "b><"}) and page.loads == []
    assert '"><img src=x onerror=alert(1)>\ufffd' in page.sections["errors"]
    assert "<b>no</b>" in page.sections["sweep"] and "\x00" not in text
    assert "Content-Security-Policy" in text and "default-src 'none'" in text


@pytest.mark.parametrize(
    "options",
    ({"style": "streaming"}, {"style": "fixed"}, {"multipliers": 5}, {"encoding": "bipolar"}),
    ids=lambda options: "-".join(options.values() if "multipliers" not in options else options),
)
def test_every_kind_of_hardware_has_a_page(options):
    page = Page(html_page(contents(Spec(sizes=(5, 4, 3), options={"length": 16, **options}))))
    assert len(page.rows["cost"]) == 4 and len(page.rows["errors"]) == 3
    assert "sweep" not in page.sections


def test_an_early_exit_has_a_page_on_which_its_unknown_errors_are_dashes():
    held = contents(Spec(sizes=(5, 4, 3), options={"length": 16, "style": "streaming"}))
    module = sccc.compile(held.module, passes="early-exit{margin=4}")
    page = Page(html_page(replace(held, module=module, bill=estimated(module))))
    assert page.rows["errors"][-1] == ["/fc1/Gemm", "–", "–", "–", "–"]


def test_without_samples_or_classes_the_page_says_less():
    held = contents()
    page = Page(html_page(replace(held, data=None)))
    assert page.sections["errors"][-1] == "No samples were given (--data)." and page.rows["errors"] == []
    page = Page(html_page(replace(held, data=Data(held.data.x, None))))
    assert len(page.rows["errors"]) == 3 and not any("accuracy" in text for text in page.sections["summary"])


def test_layers_values_are_those_of_the_three_models():
    module, x = compiled(SPEC), data(SPEC, 10)
    first, last = layer_values(module, x)
    assert (first.key, first.name) == ("fc0", "/fc0/Gemm")
    assert np.allclose(last.exact, build(SPEC).trace(x, "fc1")["fc1"])
    assert np.allclose(last.stream, sccc.simulate(module, x).output)


def test_the_command_writes_the_same_bytes_in_every_process(tmp_path):
    sweep = tmp_path / "sweep.json"
    sweep.write_text(json.dumps(SWEEP))
    command = [sys.executable, "-m", "sccc.cli", "report", str(MODEL), "--data", str(SAMPLES), "--length", "8"]
    for name in ("a.html", "b.html"):
        subprocess.run(
            [*command, "--html", str(tmp_path / name), "--sweep", str(sweep)], check=True, capture_output=True
        )
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert len(Page((tmp_path / "a.html").read_text()).rows["sweep"]) == 4


def test_a_page_runs_the_sweep_that_its_lengths_ask_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    page, report = tmp_path / "out.html", tmp_path / "sweep.json"
    samples = ["--data", str(SAMPLES), "--limit", "60", "--lengths", "8,16"]
    assert main(["report", str(MODEL), *samples, "--html", str(page)]) == 0
    assert main(["sweep", str(MODEL), *samples, "--json", str(report)]) == 0
    points = json.loads(report.read_text())["points"]
    assert all(point["cached"] for point in points)  # the very points that the page has measured
    rows = Page(page.read_text()).rows["sweep"][1:]
    assert [row[2] for row in rows] == ["8", "16"]
    assert [row[4] for row in rows] == [f"{100 * point['accuracy']:.2f}" for point in points]


def test_a_comparison_has_a_page_with_both_bills_side_by_side(tmp_path, capsys):
    page, report = tmp_path / "out.html", tmp_path / "out.json"
    options = ["--data", str(SAMPLES), "--limit", "60", "--against", "fixed", "--length", "16", "--widths", "6"]
    assert main(["report", str(MODEL), *options, "--html", str(page), "--json", str(report)]) == 0
    held, rows = json.loads(report.read_text()), Page(page.read_text()).rows["rival"]
    designs = [held["streams"][0], held["fixed"][0]]
    assert (
        [row[0] for row in rows[1:3]] == [design["name"] for design in designs] == ["streams, N = 16", "fixed, 6 bits"]
    )
    assert rows[-1][1:3] == [number(design["gates"]) for design in designs]
    layers = [sccc.compile(sccc.load(MODEL), **o) for o in ({"length": 16}, {"style": "fixed", "bits": 6})]
    wanted = [[layer["name"], *(layer["gates"],)] for layer in estimated(layers[1])["layers"]]
    assert [[row[0], row[2]] for row in rows[4:-1]] == [[name, number(gates)] for name, gates in wanted]


@pytest.mark.parametrize(("lengths", "designs"), [("", 2), ("8,32", 3), ("8,16", 4)])
def test_a_page_with_a_comparison_compiles_and_estimates_each_design_once(tmp_path, monkeypatch, lengths, designs):
    calls = []

    def counted(what, function):
        return lambda *args, **options: calls.append(what) or function(*args, **options)

    for module in (billing, commands):
        monkeypatch.setattr(module, "compile", counted("compile", module.compile))
    monkeypatch.setattr(billing, "estimated", counted("estimate", billing.estimated))
    page = tmp_path / "out.html"
    options = ["--against", "fixed", "--length", "32", "--widths", "6", "--html", str(page)]
    assert main(["report", str(MODEL), *options, "--lengths", lengths]) == 0
    assert sorted(calls) == ["compile"] * designs + ["estimate"] * designs
    own = billing.estimated(sccc.compile(sccc.load(MODEL), length=32))
    assert number(own["gates"]) in Page(page.read_text()).rows["cost"][-1]


def test_what_cannot_be_a_page_is_refused_at_once(tmp_path, capsys):
    (tmp_path / "bad.json").write_text('{"points": [{"point": {"style": "$x$"}}], "samples": 1, "float": 1}')
    target = str(tmp_path / "out.html")
    for arguments, message in (
        (["--html", target, "--lengths", "8"], "a sweep measures accuracy"),
        (["--html", target, "--lengths", "8", "--sweep", str(tmp_path / "bad.json")], "a sweep is given already"),
        (["--sweep", str(tmp_path / "bad.json")], "is shown on a page only"),
        (["--html", target, "--sweep", str(tmp_path / "bad.json")], "not a sweep's JSON"),
        (["--html", target, "--sweep", str(tmp_path / "none.json")], "cannot read the sweep"),
        (["--html", str(tmp_path / "no" / "out.html")], "there is no folder"),
        (["--html", str(tmp_path)], "it is a folder"),
    ):
        assert main(["report", str(MODEL), *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not Path(target).exists()


@pytest.mark.parametrize(
    "damage", ("[]", "{", '{"points": 3, "samples": 1, "float": 1}', '{"points": [], "samples": NaN, "float": 1}')
)
def test_a_damaged_sweep_is_refused(damage, tmp_path):
    (tmp_path / "sweep.json").write_text(damage)
    with pytest.raises(sccc.SccError, match="not a sweep's JSON"):
        load_sweep(str(tmp_path / "sweep.json"))


@pytest.mark.browser
@pytest.mark.skipif(not available(), reason="needs chromium and chromedriver")
def test_a_browser_shows_every_section_asks_for_nothing_and_has_no_complaint(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(html_page(contents(sweep=SWEEP)), encoding="utf-8")
    with opened(page) as driver:
        assert driver.get_log("browser") == []
        assert requests(driver) == [page.as_uri()]
        shown = driver.find_elements("css selector", "section")
        assert [section.get_attribute("id") for section in shown] == list(Page(page.read_text()).sections)
        bottom = 0
        for section in shown:
            assert section.is_displayed() and section.rect["height"] > 50 and section.rect["y"] >= bottom
            bottom = section.rect["y"] + section.rect["height"]
        for picture in driver.find_elements("css selector", "section > * > svg, .figures svg, section > svg"):
            assert picture.is_displayed() and picture.rect["width"] > 100
        assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        overlapping = driver.execute_script(OVERLAPS)
        assert overlapping == []


OVERLAPS = """
    const found = [];
    for (const picture of document.querySelectorAll('svg')) {
        const boxes = [...picture.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
        boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
            const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
            const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
            if (across > 1 && down > 3) found.push(a + ' | ' + b);
        }));
    }
    return found;
"""


@pytest.mark.browser
@pytest.mark.skipif(not available(), reason="needs chromium and chromedriver")
def test_the_browser_would_have_noticed(tmp_path):
    page = tmp_path / "report.html"
    text = html_page(contents()).replace("default-src 'none'; ", "")
    texts = '<svg width="200" height="40"><text y="20">one</text><text y="22">two</text></svg>'
    planted = f'<img src="http://127.0.0.1:9/x.png">{texts}'
    page.write_text(
        text.replace("</body>", planted + "</body>").replace("img-src data:", "img-src *"), encoding="utf-8"
    )
    with opened(page) as driver:
        assert any("x.png" in entry["message"] for entry in driver.get_log("browser"))
        assert requests(driver)[1:] == ["http://127.0.0.1:9/x.png"]
        assert driver.execute_script(OVERLAPS) == ["one | two"]
