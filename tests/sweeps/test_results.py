"""The page of results: one file, that asks for nothing, with the sweep's own numbers."""

import json
import re
import shutil
import subprocess

import pytest

from lib.__main__ import main
from lib.sweeps import command
from lib.sweeps.results import TEMPLATES, Shown, write_page
from lib.sweeps.table import collect
from tests.sweeps.tiny import fake

NASTY = '</script><img src=x onerror="alert(1)">'
FIGURE = "figure: {name: c, quantity: q, x: x, by: kind, xscale: log}\n"


@pytest.fixture
def page(tiny):
    """The page of a sweep of which a point failed and one is missing, with names that are HTML."""
    tiny.store.open(create=True)
    axes = f"grid: {{product: {{x: [1.0, 8.0], kind: [a, b], many: [null, 3]}}}}\ntitle: '{NASTY}'\n"
    one = tiny.sweep(axes + FIGURE)
    for number, given in enumerate(one.points[:-1]):
        fake(tiny.store, one, given, "failed" if number == 1 else "done")
    path = tiny.folder / "results.html"
    write_page(collect(tiny.store, one), Shown.of(one), path)
    return path


def data(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1])


def test_a_page_has_each_point_and_number_and_opens_with_the_sweeps_figure(page):
    told = data(page)
    assert told["parameters"] == ["x", "kind", "many"]
    assert [point[3] for point in told["points"]] == ["done", "failed", *["done"] * 5, "missing"]
    assert told["points"][1][-1] == "ValueError: no"
    assert told["quantities"] == ["c: q"]
    assert sorted(told["values"])[:4] == [[0, 0, 1.0], [0, 0, 2.0], [2, 0, 1.0], [2, 0, 2.0]]
    assert told["start"] == {"y": 0, "x": "0", "by": "1", "panel": "", "logx": True}


def test_a_page_asks_for_nothing_and_names_are_no_html(page):
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    ours = text
    for name in ("vega.min.js", "vega-lite.min.js", "results.js"):
        script = (TEMPLATES / name).read_text(encoding="utf-8")
        assert script in text
        ours = ours.replace(script, "")
    assert NASTY not in text
    assert not re.search(r"""(src|href)=["'](?!data:)""", ours)
    assert text.count("</script>") == 4


def test_open_writes_the_page_and_opens_it(stored, tiny, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)
    store = tiny.store.folder
    path = str(tiny.yaml("grid: {product: {x: [1.0]}}\n"))
    assert main(["sweep", path, "--store", str(store), "--open"]) == 0
    assert f"page: {store / 'results.html'}" in capsys.readouterr().out
    assert opened == [(store / "results.html").as_uri()]
    assert data(store / "results.html")["values"] == [[0, 0, 1.0], [0, 0, 2.0]]


def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or pytest.skip("needs chromium")


@pytest.mark.slow
def test_a_browser_draws_the_chart_and_the_table(page, tmp_path):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    where = [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", page.as_uri()]
    done = subprocess.run([browser(), *options, *where], capture_output=True, text=True, encoding="utf-8", timeout=300)
    dom = re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)
    assert "8 of 8 points" in dom
    assert "<svg" in dom
    assert len(re.findall(r'class="(?:done|failed|missing)"', dom)) == 8
    assert "c: q over x, a curve for each kind: mean of the values" in dom
    assert dom.count('aria-label="x: ') or dom.count("mark-symbol")  # points are drawn
    assert "<img" not in dom.replace("&lt;img", "")


NODE = """
const fs = require("fs"), vega = require(process.argv[1]);
global.vega = vega;
const source = fs.readFileSync(process.argv[2], "utf8"), page = fs.readFileSync(process.argv[3], "utf8");
const made = { exports: {} };
new Function("module", "exports", "require", source)(made, made.exports, () => vega);
const chart = new Function(page + "; return chart;")();
const rows = [1, 2, 4].flatMap((x) => ["a", "b"].flatMap((by) => [1, 3].map((y) => ({ x, by, y: y * x }))));
const nominal = rows.map((one) => ({ ...one, x: "kind " + one.x }));
const halves = rows.map((one) => ({ ...one, panel: one.by }));
for (const [r, logx, panel] of [[rows, true, ""], [nominal, false, ""], [halves, true, "p"]]) {
  const spec = made.exports.compile(chart(r, { x: "it's", y: "a.b[c]", by: "k\\"", panel }, logx, false)).spec;
  const view = new vega.View(vega.parse(spec), { renderer: "none" });
  view.toSVG().then((svg) => {
    const count = (what) => (svg.match(what) || []).length, panels = count(/class="mark-symbol role-mark /g);
    console.log(count(/aria-roledescription="point"/g), svg.includes("a.b[c]"), panels);
  });
}
"""


def test_the_chart_has_a_mean_for_each_curve_and_place(tmp_path):
    node = shutil.which("node") or pytest.skip("needs node")
    files = [str(TEMPLATES / name) for name in ("vega.min.js", "vega-lite.min.js", "results.js")]
    done = subprocess.run([node, "-e", NODE, *files], capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["6", "true", "1"],
        ["12", "true", "2"],
        ["6", "true", "2"],
    ]  # nominal: a mark below each; two panels with a layer of points each
