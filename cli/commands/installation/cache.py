"""``spikesim cache``: the compiled kernels on the disk."""

import click


@click.command()
@click.option(
    "--clean",
    type=click.Choice(["others", "all"]),
    is_flag=False,
    flag_value="others",
    help="Remove the kernels of other versions, or all of them.",
)
def cache(clean: str | None) -> None:
    """Show where compiled kernels are kept, for which versions, and how large they are.

    An installed version of spikesim compiles its kernels once, for one Python and one Numba. Kernels of versions that
    are no longer used can be removed; they are compiled again when needed.

    \b
    Examples:
      spikesim cache
      spikesim cache --clean
      spikesim cache --clean all
    """
    from spikesim.cli.common import make_console
    from spikesim.cli.terminal.tables import Table, print_table
    from spikesim.errors import InputError
    from spikesim.jit.cache_contents import cached_versions, remove
    from spikesim.jit.compilation import cache_folder
    from spikesim.runtime.text import counted, si

    found = cache_folder()
    if found.path is None:
        click.echo(f"compiled kernels are not kept, and each start compiles them again: {'; '.join(found.passed_over)}")
        return
    try:
        versions = list(cached_versions(found.path.parent))
        if clean is not None:
            gone = [version for version in versions if clean == "all" or version.path != found.path]
            for version in gone:
                remove(version)
            freed = si(sum(version.size for version in gone))
            click.echo(f"removed from {found.path.parent}: {counted(len(gone), 'version')}, {freed}B")
            return
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}; remove the folder by hand") from None
    console = make_console()
    console.print(f"compiled kernels: {found.path.parent}", soft_wrap=True)
    table = Table("", ("folder",))
    table.add_columns("size", "written")
    table.add_columns("version", left=True)
    for version in versions:
        own = " (this one)" if version.path == found.path else ""
        table.add_row(
            version.path.name, f"{si(version.size)}B", _day(version.used), (version.about or "not known") + own
        )
    print_table(console, table)
    others = len(versions) - any(version.path == found.path for version in versions)
    if others:
        console.print(f"{counted(others, 'other version')}: spikesim cache --clean removes them")


def _day(seconds: float) -> str:
    import time

    return time.strftime("%Y-%m-%d", time.localtime(seconds))
