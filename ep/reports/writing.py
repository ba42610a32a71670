"""The files that a report writes: a page, pictures, or both."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spikesim.ep.reports.files import make_folder, require_free, write_files
from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.ep.analysis.summary import Report
    from spikesim.ep.reports.charts.plots import Picture
    from spikesim.ep.reports.charts.raster import RasterChoice
    from spikesim.ep.reports.comparison import ComparedRun
    from spikesim.ep.reports.simulations.drawing import DrawingChoice
    from spikesim.ep.runs.reader import RunReader
    from spikesim.sparse.analysis.summary import SimulationReport
    from spikesim.sparse.recording import SimulationReader

__all__ = ["Outputs"]


class Outputs:
    """Where a report goes.

    Parameters
    ----------
    page : Path or None
        The HTML file.
    pictures : Path or None
        The folder of PNG and SVG files, which is made if need be.
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    InputError
        Something of it cannot be written, as far as can be told now, or matplotlib is missing.
    """

    def __init__(self, page: Path | None, pictures: Path | None, overwrite: bool) -> None:
        self._page, self._pictures, self._overwrite = page, pictures, overwrite
        if page is not None:
            if page.suffix not in (".html", ".htm"):
                raise InputError(f"--html {page}: the name must end in .html")
            require_free([page], overwrite=overwrite)
        if pictures is not None:
            from spikesim.ep.reports.charts.plots import require_matplotlib

            require_matplotlib()
            if pictures.exists() and not pictures.is_dir():
                raise InputError(f"--plot {pictures}: that is a file; give the name of a folder")
            if not pictures.parent.is_dir():
                raise InputError(f"--plot {pictures}: there is no folder {pictures.parent}; make it, or give another")

    @property
    def wanted(self) -> bool:
        """Whether anything is to be written."""
        return self._page is not None or self._pictures is not None

    def write_run(
        self, reader: "RunReader", numbers: "Report", gradients: Path | None, choice: "RasterChoice | None" = None
    ) -> list[Path]:
        """Write the page and the pictures of a run.

        Parameters
        ----------
        reader : RunReader
            The run.
        numbers : Report
            What `make_report` says of it.
        gradients : Path or None
            A gradient check of it.
        choice : RasterChoice, optional
            Which recorded spikes are drawn.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        InputError
            The run or the check is damaged, or a file exists or cannot be written.
        """
        if not self.wanted:
            return []
        from spikesim.ep.reports.charts.pictures import run_pictures
        from spikesim.ep.reports.document import report_document
        from spikesim.ep.reports.gradients import gradient_charts, read_gradients
        from spikesim.ep.reports.pages.run_page import run_page

        check = None if gradients is None else read_gradients(gradients, [layer.name for layer in reader.layers])
        document = report_document(reader, numbers)
        pictures = run_pictures(reader, document, choice, [] if check is None else gradient_charts(check))
        page = b"" if self._page is None else run_page(reader, document, pictures)
        return self._write(page, pictures.all)

    def write_comparison(self, runs: "list[ComparedRun]", said: Sequence[str], *, grouped: bool) -> list[Path]:
        """Write the page and the pictures of a comparison.

        Parameters
        ----------
        runs : list of ComparedRun
            What `compare` gives.
        said : sequence of str
            What `completeness` says of them.
        grouped : bool
            Curves and results of settings, over their seeds, in place of those of runs.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        InputError
            A file exists or cannot be written.
        """
        if not self.wanted:
            return []
        from spikesim.ep.reports.charts.chart import comparison_charts
        from spikesim.ep.reports.pages.comparison_page import comparison_page
        from spikesim.ep.reports.seeds import grouped_document

        document = grouped_document(runs)
        page = b"" if self._page is None else comparison_page(document, said, grouped=grouped)
        return self._write(page, comparison_charts(document, grouped=grouped))

    def write_simulation(
        self, reader: "SimulationReader", report: "SimulationReport", choice: "DrawingChoice"
    ) -> list[Path]:
        """Write the page and the pictures of a simulation.

        Parameters
        ----------
        reader : SimulationReader
        report : SimulationReport
            What `make_simulation_report` says of it.
        choice : DrawingChoice
            Which steps and neurons are drawn.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        InputError
            The file is damaged, something chosen is not there, or a file exists or cannot be written.
        """
        if not self.wanted:
            return []
        from spikesim.ep.reports.simulations.charts import simulation_pictures
        from spikesim.ep.reports.simulations.document import simulation_document
        from spikesim.ep.reports.simulations.page import simulation_page

        document = simulation_document(reader, report)
        pictures = simulation_pictures(reader, report.window, document, choice)
        page = b"" if self._page is None else simulation_page(reader, report.window, document, pictures)
        return self._write(page, pictures.all)

    def _write(self, page: bytes, pictures: "Sequence[Picture]") -> list[Path]:
        contents: dict[Path, bytes] = {}
        if self._page is not None:
            contents[self._page] = page
        if self._pictures is not None:
            from spikesim.ep.reports.charts.plots import draw_files, plot_paths

            make_folder(self._pictures)
            require_free(plot_paths(self._pictures, pictures), overwrite=self._overwrite)
            contents.update(draw_files(self._pictures, pictures))
        write_files(contents, overwrite=self._overwrite)
        return list(contents)
