"""The built manual: no warning, every page, nothing that asks for the network when it is opened, nothing too wide."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import Browser, needs_browser
from commands import ROOT
from manual.pages import PAGES

MISSING = [name for name in ("sphinx", "myst_parser", "furo", "numpydoc") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs the extra docs: {', '.join(MISSING)}")

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""Attributes whose addresses a browser loads by itself."""


class Addresses(HTMLParser):
    """Collects what a page loads, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if tag in LOADED and given.get(LOADED[tag]):
            self.loaded.append(given[LOADED[tag]])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def parsed(page: Path) -> Addresses:
    addresses = Addresses()
    addresses.feed(page.read_text())
    return addresses


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manual as `make docs` builds it."""
    (command,) = re.findall(r"sphinx-build (.+) build/manual$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    out = tmp_path_factory.mktemp("site")
    program = [sys.executable, "-m", "sphinx", *command.split(), str(out)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert {"--fail-on-warning", "--nitpicky"} <= set(program)
    return out


def pages_of(site: Path) -> Iterator[Path]:
    return site.glob("**/*.html")


def test_every_page_is_there(site: Path) -> None:
    built = {str(page.relative_to(site).with_suffix("")) for page in pages_of(site)}
    assert {str(page.relative_to(ROOT).with_suffix("")) for page in PAGES} | {"CHANGELOG", "index"} <= built


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = {address for page in pages_of(site) for address in parsed(page).loaded}
    assert loaded and [address for address in loaded if re.match(r"([a-z]+:)?//", address)] == []
    styles = {path.name: path.read_text() for path in site.glob("**/*.css")}
    assert styles
    for name, text in styles.items():
        assert re.findall(r"@import[^;]*//|url\(\s*[\"']?(?:https?:)?//", text) == [], name


def test_links_within_the_manual_lead_somewhere(site: Path) -> None:
    names = {page.resolve(): parsed(page) for page in pages_of(site)}
    links = 0
    for page, addresses in names.items():
        for link in addresses.links:
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            target = (page.parent / path).resolve() if path else page
            assert target.is_file(), f"{page.name}: {link}"
            assert not anchor or target not in names or anchor in names[target].names, f"{page.name}: {link}"
            links += 1
    assert links > 100


def test_formulas_are_mathml(site: Path) -> None:
    pages = {page.name: page.read_text() for page in (site / "docs").glob("*.html")}
    assert min(pages[name].count("<math") for name in ("model.html", "gradient-check.html")) > 20
    for name, text in pages.items():
        shown = re.sub(r"<math.*?</math>|<pre.*?</pre>|<code.*?</code>|<script.*?</script>", "", text, flags=re.DOTALL)
        assert not re.findall(r"\\[a-z]+|\$\w[^<]*\$", shown), name


def test_the_names_of_the_packages_are_in_the_manual(site: Path) -> None:
    import spikesim.datasets
    import spikesim.ep
    import spikesim.sparse

    for package in (spikesim, spikesim.sparse, spikesim.ep, spikesim.datasets):
        page = parsed(site / "docs" / "api" / f"{package.__name__.rpartition('.')[2]}.html")
        wanted = {f"{package.__name__}.{name}" for name in package.__all__ if not name.startswith("__")}
        assert wanted <= page.names


TOO_WIDE = """(() => {
  const article = document.querySelector("article"), found = [];
  if (!article) return found;
  const {left, right} = article.getBoundingClientRect();
  const scrolls = e => e !== article && (/auto|scroll|hidden/.test(getComputedStyle(e).overflowX)
    && e.getBoundingClientRect().right <= right + 8 || scrolls(e.parentElement));
  if (document.documentElement.scrollWidth > innerWidth) found.push("the page scrolls sideways");
  for (const e of article.querySelectorAll("p, li, table, pre, img, math, dt, .highlight, .table-wrapper")) {
    const box = e.getBoundingClientRect();
    if (box.width && (box.right > right + 8 || box.left < left - 8) && !scrolls(e.parentElement))
      found.push(e.tagName + ": " + e.textContent.slice(0, 60));
  }
  for (const e of article.querySelectorAll("img")) if (!e.naturalWidth) found.push("not shown: " + e.src);
  return found;
})()"""
"""What leaves the column of the text; tables have a shadow and a margin of some pixels."""
PALE = """(() => {
  const level = rgb => [.2126, .7152, .0722].reduce((sum, weight, i) => {
    const c = rgb[i] / 255;
    return sum + weight * (c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  }, .05);
  const rgba = text => text.match(/[\\d.]+/g).map(Number), known = new Map();
  const behind = e => {
    if (!e) return [255, 255, 255];
    if (!known.has(e)) {
      const own = rgba(getComputedStyle(e).backgroundColor);
      known.set(e, own[3] === 0 ? behind(e.parentElement) : own);
    }
    return known.get(e);
  };
  return [...document.querySelectorAll("article :is(p, li, td, th, math, h1, h2, h3)")].filter(e => {
    const pair = [level(rgba(getComputedStyle(e).color)), level(behind(e))].sort((a, b) => b - a);
    return pair[0] / pair[1] < 4.5;
  }).map(e => e.textContent.slice(0, 60));
})()"""
"""Text with less contrast than WCAG 2 asks for."""


@needs_browser
def test_pages_fit_their_column_and_can_be_read(site: Path, tmp_path: Path) -> None:
    """On a screen of 1280 pixels, light and dark."""
    with Browser(tmp_path) as browser:
        browser.resize(1280, 800)
        for page in pages_of(site):
            browser.open(page)
            for scheme in ("light", "dark"):
                browser.media(scheme)
                assert not (browser.run(TOO_WIDE) or browser.run(PALE)), (page.relative_to(site), scheme)


@needs_browser
def test_what_is_too_wide_or_too_pale_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    wide, code = (
        "<pre style='width: 2000px'>wide</pre>",
        "<pre style='overflow-x: auto'><p style='width: 999px'>inside</p></pre>",
    )
    page.write_text(f"<article style='width: 600px'>{wide}{code}<p style='color: #bbb'>pale</p></article>")
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        assert "PRE: wide" in browser.run(TOO_WIDE) and "inside" not in str(browser.run(TOO_WIDE))
        assert browser.run(PALE) == ["pale"]
