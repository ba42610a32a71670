"""Recorded spikes as rasters: which neurons fired at which step, for a few samples."""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.reports.charts.axes import linear_axis
from spikesim.ep.reports.charts.markup import element
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import LayerInfo

__all__ = ["Raster", "draw_raster", "read_rasters"]

NEURONS_MAX = 32
"""Neurons of a layer that are shown."""
SAMPLES_MAX = 2
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 600, 12, 150, 6, 40
ROW, GAP = 2.6, 10.0


@dataclass(frozen=True)
class Raster:
    """Spikes of one sample after one epoch.

    Attributes
    ----------
    epoch, sample : int
        Which; the sample as its index in the data set.
    layers : list of LayerInfo
        From the input up.
    spikes : list of ndarray of int64, (spikes, 2)
        For each layer step and neuron of all spikes.
    """

    epoch: int
    sample: int
    layers: list[LayerInfo]
    spikes: list[NDArray[np.int64]]

    @property
    def steps(self) -> int:
        """Steps up to the last spike, the first of which is 0."""
        return 1 + max((int(own[:, 0].max()) for own in self.spikes if len(own)), default=0)

    def shown(self, layer: int) -> NDArray[np.int64]:
        """Neurons of a layer that are drawn: all, or some at equal distances."""
        neurons = self.layers[layer].neurons
        return np.unique(np.linspace(0, neurons - 1, min(neurons, NEURONS_MAX)).astype(np.int64))


def read_rasters(reader: RunReader) -> list[Raster]:
    """The first samples that were recorded after the last epoch with records; none if nothing was.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    epoch = 0
    samples: list[int] = []
    kept: list[NDArray[np.int64]] = []
    for block in reader.blocks("spikes", reader.rows["spikes"]):
        newest = int(block["epoch"].max(initial=0))
        if newest > epoch:
            epoch, samples, kept = newest, [], []
        chosen = block["epoch"] == epoch
        for sample in np.unique(block["sample"][chosen]).tolist():
            if sample not in samples and len(samples) < SAMPLES_MAX:
                samples.append(sample)
        chosen &= np.isin(block["sample"], samples)
        names = ("sample", "layer", "step", "neuron")
        kept.append(np.stack([block[name][chosen].astype(np.int64) for name in names], axis=1))
    rows = np.concatenate(kept) if kept else np.zeros((0, 4), np.int64)
    return [
        Raster(
            epoch,
            sample,
            reader.layers,
            [rows[(rows[:, 0] == sample) & (rows[:, 1] == layer)][:, 2:] for layer in range(len(reader.layers))],
        )
        for sample in samples
    ]


def draw_raster(raster: Raster) -> ET.Element:
    """A raster as ``svg``: a band a layer, the input at the bottom, a tick a spike."""
    bands = [len(raster.shown(layer)) * ROW for layer in range(len(raster.layers))]
    height = TOP + sum(bands) + GAP * (len(bands) - 1)
    plot = WIDTH - LEFT - RIGHT
    width = plot / raster.steps
    drawn: list[ET.Element] = []
    bottom = height
    for layer, band in enumerate(bands):
        rows = {neuron: row for row, neuron in enumerate(raster.shown(layer).tolist())}
        steps = [
            f"M{LEFT + (step + 0.1) * width:.1f} {bottom - ROW * (rows[neuron] + 0.5):.1f}h{0.8 * width:.1f}"
            for step, neuron in raster.spikes[layer].tolist()
            if neuron in rows
        ]
        name = raster.layers[layer].name
        told = f"{name}: {len(rows)} of {raster.layers[layer].neurons} neurons, {len(steps)} of their spikes"
        label = {"x": LEFT + plot + 10, "y": f"{bottom - band / 2 + 4:.1f}", "class_": "name"}
        drawn.append(
            element(
                "g",
                element("title", told),
                element("path", d=f"M{LEFT} {bottom - band:.1f}h{plot}v{band:.1f}h{-plot}z", class_="band"),
                element("path", d="".join(steps), class_="spikes"),
                element("text", name, **label),
                class_=f"layer{layer}",
            )
        )
        bottom -= band + GAP
    for tick in linear_axis([0.0, float(max(raster.steps - 1, 1))], integers=True, count=8).ticks:
        where = {"x": f"{LEFT + (tick + 0.5) * width:.1f}", "y": f"{height + 17:.1f}", "class_": "tick middle"}
        drawn.append(element("text", f"{tick:g}", **where))
    words = {"x": LEFT + plot / 2, "y": f"{height + BOTTOM - 6:.1f}", "class_": "label middle"}
    drawn.append(element("text", "step of the free phase, from 0", **words))
    title = f"Spikes of sample {raster.sample} after epoch {raster.epoch}, by layer"
    box = f"0 0 {WIDTH} {height + BOTTOM:.1f}"
    return element("svg", element("title", title), drawn, viewBox=box, role="img", class_="chart raster")
