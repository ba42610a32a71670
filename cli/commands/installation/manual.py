"""``spikesim manual``: the pages of the manual, which are installed with the program."""

import importlib.resources

import click
from click.shell_completion import CompletionItem

from spikesim.errors import InputError

PAGES = importlib.resources.files("spikesim.cli.commands.installation") / "pages"


def titles() -> dict[str, str]:
    """Names of the pages and their titles, in alphabetical order."""
    files = sorted(path.name for path in PAGES.iterdir() if path.name.endswith(".md"))
    return {name.removesuffix(".md"): text(name.removesuffix(".md")).partition("\n")[0].lstrip("# ") for name in files}


def text(page: str) -> str:
    """A page, in Markdown."""
    return (PAGES / f"{page}.md").read_text(encoding="utf-8")


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=title) for name, title in titles().items() if name.startswith(incomplete)]


@click.command()
@click.argument("page", required=False, metavar="[PAGE]", shell_complete=_complete)
def manual(page: str | None) -> None:
    """Read a page of the manual, in Markdown; without PAGE, list the pages.

    On a terminal a page is shown by the pager, $PAGER or less.

    \b
    Examples:
      spikesim manual tutorial
      spikesim manual configuration | grep tolerance
    """
    pages = titles()
    if page is None:
        width = max(map(len, pages))
        for name, title in pages.items():
            click.echo(f"{name:<{width}}  {title}")
        return
    name = page.removeprefix("docs/").removesuffix(".md")
    if name not in pages:
        raise InputError(f"the manual has no page {page!r}; 'spikesim manual' lists them")
    click.echo_via_pager(text(name))
