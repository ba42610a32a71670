"""Pages as their readers use them, in a browser."""

import itertools
import json
from pathlib import Path

import pytest
import runs
from browser import Browser, needs_browser
from commands import succeed

from spikesim.ep.analysis.published import PUBLISHED

pytestmark = needs_browser

EVIL = "</script><script>document.title='injected'</script><img src=x onerror=\"document.title='injected'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The page of a run of two complete epochs and half of a third."""
    folder = tmp_path_factory.mktemp("page")
    runs.write_run(folder / "run.h5", 10)
    succeed("report", folder / "run.h5", "--html", folder / "run.html")
    return folder / "run.html"


def document(page: Path) -> dict:
    return json.loads(succeed("report", page.with_suffix(".h5"), "--format", "json").stdout)


def joules(browser: Browser) -> list[dict]:
    return browser.run(
        "[...document.querySelectorAll('#energy-table data.joule')].map(c => ({...c.dataset, value: Number(c.value), "
        "text: c.textContent}))"
    )


def test_it_loads_from_disk_alone(browser, page):
    browser.open(page)
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith("file:")] == []
    assert len(browser.requests) == 1
    assert browser.run("document.querySelectorAll('h1').length") == 1


def test_its_charts_are_there(browser, page):
    browser.open(page)
    found = browser.run(
        "Object.fromEntries([...document.querySelectorAll('figure')].map(f => { const b = "
        "f.querySelector('svg').getBoundingClientRect(); return [f.id, [b.width, b.height, "
        "f.querySelectorAll('svg .line, svg .mark, svg .spikes, svg path').length, "
        "f.querySelector('svg').getAttribute('aria-label')]] }))"
    )
    for name in ("accuracy", "loss", "activity", "energy", "hopfield", "residual", "rate_difference", "weight_change",
                 "trace_hopfield", "firing_rates", "confusion", "filters", "weights"):  # fmt: skip
        width, height, drawn, title = found[f"chart-{name}"]
        assert width > 300 and height > 150 and drawn > 1 and title
    assert any(name.startswith("raster-") for name in found)


def test_its_numbers_are_those_of_the_json(browser, page):
    browser.open(page)
    expected = document(page)
    assert browser.run("JSON.parse(document.getElementById('report').textContent)") == expected
    cells = browser.run(
        "[...document.querySelectorAll('data[data-from]')].map(c => [c.dataset.from, Number(c.value), c.textContent])"
    )
    for path, value, text in cells:
        found = expected
        for part in path.split("."):
            found = found[int(part)] if part.isdigit() else found[part]
        assert value == found, path
        assert text
    shown = {path for path, _, _ in cells}
    assert {f"layers.{index}.effective_acs_forward" for index in range(len(expected["layers"]))} <= shown
    assert {f"epochs.{index}.train_loss" for index in range(3)} <= shown
    tables = browser.run(
        "[...document.querySelectorAll('#chart-rate_difference tbody tr')].map(r => "
        "[...r.querySelectorAll('data')].map(c => Number(c.value)))"
    )
    for epoch, row in enumerate(tables, 1):
        entries = [own for own in expected["learning"] if own["epoch"] == epoch and own["layer"] != "readout"]
        assert row == [own["rate_difference"] for own in entries]
    assert len(tables) == 3


def test_the_energies_are_those_of_the_json(browser, page):
    browser.open(page)
    expected = document(page)["layers"]
    found = browser.run(
        "[...document.querySelectorAll('#energy-table tbody tr')].map(r => [...r.children].slice(1, 6).map(c => "
        "Number(c.querySelector('data').value)))"
    )
    headings = browser.run("[...document.querySelectorAll('#energy-table thead th')].map(h => h.textContent)")
    layers = list(dict.fromkeys(entry["layer"] for entry in expected))
    for entry in expected:
        column = "training, all phases" if entry["phase"] == "total" else entry["phase"]
        value = found[layers.index(entry["layer"])][headings.index(column) - 1]
        assert value == pytest.approx(entry["joule"], rel=1e-12)


def test_values_under_the_pointer(browser, page):
    browser.open(page)
    expected = document(page)

    def told(selector: str, x: float, y: float) -> list[str]:
        browser.point(selector, x, y)
        return browser.run("(t => t.hidden ? [] : t.textContent.split('\\n'))(document.querySelector('.tip'))")

    accuracy = [f"{100 * expected['epochs'][0][f'{kind}_accuracy']:.2f} %" for kind in ("train", "test")]
    assert told("#chart-accuracy svg", 0.2, 0.4) == ["epoch 1", f"training: {accuracy[0]}", f"test: {accuracy[1]}"]
    count = expected["confusion"]["matrix"][9][9]
    assert told("#chart-confusion svg", 0.98, 0.87)[:2] == ["true 9", "predicted 9"]
    assert told("#chart-confusion svg", 0.98, 0.87)[2].startswith(f"{count} samples")
    assert told("#raster-9 svg.raster", 0.12, 0.815) == ["conv1", "neuron 0", "step 0"]
    assert told("h1", 0.5, 0.5) == []


@pytest.mark.parametrize("energy", PUBLISHED, ids=lambda own: f"{own.node}-{own.format}")
def test_the_reader_chooses_a_process_node(browser, page, energy):
    browser.open(page)
    before = browser.run("document.getElementById('energy-summary').value")
    for name, value in (("node", energy.node), ("format", energy.format)):
        browser.run(
            f"{{const e = document.getElementById('{name}'); e.value = '{value}'; "
            "e.dispatchEvent(new Event('change', {bubbles: true})); e.value}"
        )
    for cell in joules(browser):
        add, both = energy.add, energy.add + energy.multiply
        expected = (float(cell["accumulates"]) * add + float(cell["macs"]) * both) * 1e-12
        assert cell["value"] == pytest.approx(expected, rel=1e-6)
        assert cell["text"].endswith("J")
    after = browser.run("document.getElementById('energy-summary').value")
    assert (after == before) is ((energy.node, energy.format) == ("45 nm", "fp32"))
    browser.run("document.querySelector('#energy-form button').click()")
    browser.run("new Promise(done => setTimeout(done, 20))")
    assert browser.run("document.getElementById('energy-summary').value") == before
    assert browser.complaints == []


def test_the_reader_types_prices(browser, page):
    """By keyboard alone."""
    browser.open(page)
    typed = {"accumulate": "2", "multiply_accumulate": "3", "fetch": "4", "state": "0.5", "update": "6"}
    reached = set()
    for _ in range(80):
        browser.press("Tab")
        name = browser.run("document.activeElement.id")
        reached.add(name)
        if name in typed:
            browser.run("document.activeElement.select()")
            browser.press(typed[name])
    assert {"node", *typed} <= reached
    assert browser.run("document.getElementById('node').value") == "own"
    for cell in joules(browser):
        accumulates, macs, updates = (float(cell[name]) for name in ("accumulates", "macs", "updates"))
        assert cell["value"] == pytest.approx((accumulates * 7 + macs * 7 + updates * 7) * 1e-12, rel=1e-9)


def test_energies_read_alike_in_python_and_in_the_page(browser, page):
    browser.open(page)
    computed = [cell["text"] for cell in joules(browser)]
    written = [text.partition("</data>")[0].rpartition(">")[2] for text in page.read_text().split('class="joule"')[1:]]
    assert computed == written and len(written) > 10


def test_both_colour_schemes_and_paper(browser, page):
    def colours() -> tuple[float, float, float]:
        """Brightness of page, text and the darkest or lightest line."""
        found = browser.run(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, "
            "getComputedStyle(document.querySelector('#chart-loss .kind0 .line')).stroke]"
        )
        return tuple(sum(map(int, text[text.index("(") + 1 : -1].split(",")[:3])) / 765 for text in found)

    browser.open(page)
    try:
        for scheme, medium, dark in (("light", "screen", False), ("dark", "screen", True), ("dark", "print", False)):
            browser.media(scheme, medium)
            background, text, line = colours()
            assert (background < 0.2) is dark and (text > 0.8) is dark
            assert abs(line - background) > 0.25
        assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    finally:
        browser.media("light")


def test_it_can_be_read_without_looking(browser, page):
    browser.open(page)
    assert browser.run("document.documentElement.lang") == "en"
    levels = browser.run("[...document.querySelectorAll('h1,h2,h3')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and all(below - above <= 1 for above, below in itertools.pairwise(levels))
    missing = browser.run(
        "[...document.querySelectorAll('figure')].filter(f => !f.querySelector('details table caption')).length + "
        "[...document.querySelectorAll('svg[role=img]')].filter(s => !s.getAttribute('aria-label')).length + "
        "[...document.querySelectorAll('select,input')].filter(e => !e.labels.length).length"
    )
    assert missing == 0
    names = browser.run("[...document.querySelectorAll('nav a')].map(a => !!document.querySelector(a.hash))")
    assert len(names) > 5 and all(names)


def test_a_hostile_run_file_runs_nothing(browser, tmp_path):
    layers = tuple(
        runs.LayerInfo(
            name, layer.shape, layer.weights, layer.synapses_forward, layer.synapses_feedback, layer.analogue
        )
        for name, layer in zip(("<script>x()<", "a&b\"'", "<b>"), runs.LAYERS, strict=True)
    )
    config = {"arch": EVIL, EVIL: {"dataset": EVIL}, "lone": "\ud800", "data": {"dataset": EVIL}}
    path = runs.write_run(tmp_path / "run.h5", 8, config=config, layers=layers, command_line=EVIL)
    succeed("report", path, "--html", tmp_path / "run.html")
    browser.open(tmp_path / "run.html")
    assert browser.complaints == []
    assert browser.run("document.title") == "Run run.h5"
    assert browser.run("document.querySelectorAll('img, script:not([type])').length") == 1
    assert browser.run("document.querySelector('#repeat pre').textContent") == EVIL
    assert browser.run("document.querySelector('#chart-activity tbody th').textContent") == "<script>x()<"


def test_a_comparison(browser, page, tmp_path):
    config = {"arch": EVIL, "ep": {"beta": 1.0, "steps": [60, 20]}, "name": "other"}
    runs.write_run(tmp_path / "other.h5", 8, config=config)
    files = (page.with_suffix(".h5"), tmp_path / "other.h5")
    succeed("report", *files, "--html", tmp_path / "both.html")
    browser.open(tmp_path / "both.html")
    assert browser.complaints == [] and browser.run("document.title") == "Comparison of 2 runs"
    expected = json.loads(succeed("report", *files, "--format", "json").stdout)
    assert browser.run("JSON.parse(document.getElementById('report').textContent)") == expected
    assert browser.run("document.querySelectorAll('#settings tbody tr').length") == 3
    assert browser.run("document.querySelectorAll('#chart-test_accuracy svg .line').length") == 4
    found = browser.run("[...document.querySelectorAll('#runs data.joule')].map(c => Number(c.value))")
    assert found == pytest.approx([run["joule"] for run in expected["runs"]], rel=1e-12)
