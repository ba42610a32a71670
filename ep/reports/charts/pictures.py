"""All pictures of a run: made once, for its page and for the files of ``--plot``."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from spikesim.ep.reports.charts.chart import Chart, run_charts
from spikesim.ep.reports.charts.filters import Filters, read_filters
from spikesim.ep.reports.charts.histograms import Histograms, run_histograms
from spikesim.ep.reports.charts.matrix import Matrix, run_matrix
from spikesim.ep.reports.charts.raster import Raster, RasterChoice, SampleRaster, read_rasters
from spikesim.ep.runs.reader import RunReader

__all__ = ["RunPictures", "run_pictures"]


class RunPictures(NamedTuple):
    """What there is to draw of a run.

    Attributes
    ----------
    charts : sequence of Chart
        Those of the report and of a gradient check.
    matrix : Matrix or None
        The confusion matrix of the last test.
    filters : Filters or None
        Weights of the first layer.
    histograms : Histograms or None
        Weights by layer.
    rasters : sequence of SampleRaster
        Recorded spikes.
    """

    charts: Sequence[Chart]
    matrix: Matrix | None = None
    filters: Filters | None = None
    histograms: Histograms | None = None
    rasters: Sequence[SampleRaster] = ()

    @property
    def all(self) -> list[Chart | Raster | Matrix | Filters | Histograms]:
        """All of them, in the order of the page."""
        single = [picture for picture in (self.matrix, self.filters, self.histograms) if picture is not None]
        return [*self.charts, *single, *self.rasters]


def run_pictures(
    reader: RunReader,
    document: Mapping[str, Any],
    choice: RasterChoice | None = None,
    gradients: Sequence[Chart] = (),
) -> RunPictures:
    """The pictures of a run, without those that have nothing to show.

    Parameters
    ----------
    reader : RunReader
        The run.
    document : dict
        What `report_document` says of it.
    choice : RasterChoice, optional
        Which recorded spikes are drawn.
    gradients : sequence of Chart
        Charts of a gradient check.

    Raises
    ------
    InputError
        The file is damaged, or what is chosen is not there.
    """
    return RunPictures(
        charts=[*run_charts(document), *gradients],
        matrix=run_matrix(document),
        filters=read_filters(reader),
        histograms=run_histograms(document),
        rasters=read_rasters(reader, choice),
    )
