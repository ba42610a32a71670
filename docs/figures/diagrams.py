"""What the manual explains with boxes and arrows."""

import math

from picture import BLUE, GREEN, INK, QUIET, RED, Picture


def phases() -> Picture:
    """The network in its free phase, and in a nudged phase with the linear response."""
    drawn = Picture(720, 360, "Left: the free phase, spikes up and down. Right: the nudged phase, errors down only.")
    layers = [("layer 3", 100), ("layer 2", 170), ("layer 1", 240)]
    for left, title in (
        (20, "1. Free phase: spikes, both ways"),
        (380, "2. Nudged phase: errors, downwards"),
    ):
        drawn.text(left, 24, title, "title")
        drawn.box(left + 60, 300, 130, 34, "image x")
        for name, y in layers:
            drawn.box(left + 60, y, 130, 34, name, BLUE)
        drawn.box(left + 60, 42, 130, 34, "read-out", GREEN)
    for (_, upper), (_, lower) in ((layers[0], layers[1]), (layers[1], layers[2])):
        drawn.arrow((115, lower), (115, upper + 36), colour=BLUE)
        drawn.arrow((155, upper + 34), (155, lower - 2), colour=BLUE)
        drawn.arrow((515, upper + 34), (515, lower - 2), colour=RED)
        drawn.arrow((475, lower), (475, upper + 36), colour=QUIET, dashed=True)
    drawn.text(108, 158, "W", "end small")
    drawn.text(162, 158, "\u03b3 W\u1d40", "small")
    drawn.text(522, 158, "\u03b7 W\u1d40 d", "small")
    drawn.text(468, 158, "clamped", "end small")
    drawn.arrow((135, 300), (135, 276), colour=BLUE)
    drawn.arrow((135, 100), (135, 78), colour=GREEN)
    drawn.arrow((495, 300), (495, 276), colour=QUIET, dashed=True)
    drawn.arrow((495, 76), (495, 98), colour=RED)
    drawn.text(502, 92, "\u00b1\u03b2 (y \u2212 softmax o)", "small", RED)
    for _, y in layers[1:]:
        drawn.box(600, y, 96, 34, "local head", GREEN)
        drawn.arrow((600, y + 17), (572, y + 17), colour=RED)
    drawn.text(583, 226, "\u00b1\u03b2 \u03bb", "small", RED)
    drawn.text(220, 122, "z: spikes with\nprobability p", "small")
    drawn.text(220, 192, "r: mean of p in\nthe window", "small")
    drawn.text(220, 262, "s: share of steps\nwith 0 < V < 1", "small")
    drawn.text(220, 64, "o = A Pool(r) + c", "small")
    drawn.text(380, 352, "d = clip(r + s u) \u2212 r; each layer learns from d \u2297 Pool(r)", "small")
    return drawn


def response() -> Picture:
    """The mean rate of a fluctuating potential over its mean, and its tangent."""
    width, height, left, top, deviation, at = 560, 330, 70, 40, 0.18, 0.12

    def rate(mean: float) -> float:
        """Mean of clip(V, 0, 1) for a normal V."""

        def above(edge: float) -> float:
            z = (mean - edge) / deviation
            density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
            return (mean - edge) * (1 + math.erf(z / math.sqrt(2))) / 2 + deviation * density

        return above(0.0) - above(1.0)

    def place(u: float, r: float) -> tuple[float, float]:
        return left + (u + 0.4) / 1.8 * 440, top + (1.1 - r) / 1.2 * 240

    def path(points: list[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in points))

    drawn = Picture(
        width,
        height,
        "The mean rate over the mean drive is a smooth curve; its slope is the share of steps inside 0 and 1.",
    )
    drawn.text(left, 24, "The slope of the mean rate is the share of steps inside 0 .. 1", "title")
    for r in (0.0, 0.5, 1.0):
        drawn.line(path([(-0.4, r), (1.4, r)]), "#d8dee4", 1)
        drawn.text(left - 8, place(0, r)[1] + 4, f"{r:g}", "end small")
    for u in (0.0, 0.5, 1.0):
        drawn.text(place(u, 0)[0], place(0, -0.1)[1] + 16, f"{u:g}", "middle small")
    drawn.line(path([(-0.4, -0.1), (1.4, -0.1)]), QUIET, 1)
    drawn.line(path([(-0.4, 0), (0, 0), (1, 1), (1.4, 1)]), QUIET, 1.3)
    means = [-0.4 + 0.02 * step for step in range(91)]
    drawn.line(path([(mean, rate(mean)) for mean in means]), BLUE, 2.4)
    slope = (math.erf(at / deviation / math.sqrt(2)) - math.erf((at - 1) / deviation / math.sqrt(2))) / 2
    ends = [(at - 0.24, rate(at) - 0.24 * slope), (at + 0.5, rate(at) + 0.5 * slope)]
    drawn.line(path(ends), RED, 2)
    x, y = place(at, rate(at))
    drawn.line(f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", RED, 1, RED)
    drawn.text(*place(at + 0.53, rate(at) + 0.47 * slope), "r + s u, slope s = " + f"{slope:.2f}", "", RED)
    drawn.text(*place(0.93, 0.8), "r: mean of clip(V)", "", BLUE)
    drawn.text(*place(0.62, 1.03), "clip(u), without fluctuations", "end", QUIET)
    drawn.text(*place(at + 0.03, rate(at) - 0.09), "r", "", RED)
    drawn.text(
        place(0.5, 0)[0],
        height - 12,
        "mean drive (V fluctuates about it with a standard deviation of 0.18)",
        "middle small",
    )
    return drawn


def queue() -> Picture:
    """How events reach neurons in a sparse network, and how resting neurons fire."""
    drawn = Picture(
        720, 330, "Spikes lie in a ring of lists, delays are read from it; resting neurons wait in a timing wheel."
    )
    drawn.text(20, 24, "Step t of a sparse network", "title")
    for slot in range(6):
        drawn.box(20 + 56 * slot, 50, 50, 40, f"t\u2212{6 - slot}")
        for spike in range((3, 1, 4, 2, 0, 3)[slot]):
            drawn.line(f"M{28 + 56 * slot + 9 * spike} 82h3", RED, 4)
    drawn.text(20, 110, "ring: the spikes of the last steps, as many as the longest delay", "small")
    drawn.box(410, 50, 290, 40, "rows by source and delay: targets, weights", INK)
    drawn.arrow((352, 70), (408, 70), colour=RED)
    drawn.box(410, 140, 290, 40, "drives of a block of targets, in the cache", BLUE)
    drawn.arrow((555, 90), (555, 138), colour=RED)
    drawn.text(565, 118, "one read per event", "small")
    drawn.box(410, 230, 130, 44, "active neurons:\nmoved every step", BLUE)
    drawn.arrow((470, 180), (470, 228), colour=BLUE)
    drawn.box(570, 230, 130, 44, "resting neurons:\nnot visited", INK)
    drawn.arrow((635, 180), (635, 228), colour=QUIET, dashed=True)
    drawn.text(645, 208, "wake", "small")
    drawn.arrow((540, 245), (568, 245), colour=INK)
    drawn.arrow((570, 262), (542, 262), colour=QUIET, dashed=True)
    drawn.text(555, 292, "still, at the bias  \u2192     \u2190 something arrives", "middle small")
    centre, radius = (110.0, 215.0), 58.0
    for spoke in range(12):
        angle = math.pi / 6 * spoke
        x, y = centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)
        inner = f"{centre[0] + 34 * math.cos(angle):.1f} {centre[1] + 34 * math.sin(angle):.1f}"
        drawn.line(f"M{inner}L{x:.1f} {y:.1f}", QUIET, 1)
    for size in (radius, 34.0):
        drawn.line(
            f"M{centre[0] - size} {centre[1]}a{size} {size} 0 1 0 {2 * size} 0a{size} {size} 0 1 0 {-2 * size} 0", INK
        )
    for spoke in (0.5, 3.5, 4.5, 8.5):
        angle = math.pi / 6 * spoke
        drawn.line(f"M{centre[0] + 46 * math.cos(angle) - 3:.1f} {centre[1] + 46 * math.sin(angle):.1f}h6", RED, 5)
    drawn.text(
        185,
        190,
        "timing wheel: the next spike of\neach resting neuron with p > 0,\ndrawn once, put in and\nwithdrawn in O(1)",
        "small",
    )
    drawn.arrow((408, 265), (172, 265), (160, 252), colour=QUIET, dashed=True)
    drawn.text(300, 281, "draw the waiting time", "middle small")
    drawn.line("M110 273V306H8V70H10", RED, 1.6)
    drawn.arrow((8, 70), (18, 70), colour=RED)
    drawn.text(120, 310, "due in this step: a spike, like those of the active neurons", "small")
    return drawn


def batch() -> Picture:
    """The data flow of a mini-batch."""
    drawn = Picture(720, 330, "From images and float32 parameters through integers back to float32 parameters.")
    drawn.text(20, 24, "A mini-batch: only integers cross threads and processes", "title")
    drawn.box(20, 48, 140, 44, "float32 weights,\nbiases, gains", GREEN)
    drawn.box(20, 132, 140, 44, "int16 tables,\nint32 biases", INK)
    drawn.arrow((90, 92), (90, 130), colour=INK)
    drawn.text(98, 115, "quantize", "small")
    drawn.box(20, 232, 140, 44, "images,\nnormalized int16", INK)
    drawn.text(196, 314, "for each group of samples, on any thread of any process", "small")
    drawn.line("M196 56H486V296H196z", QUIET, 1)
    drawn.box(212, 72, 120, 44, "drive of\nthe image", BLUE)
    drawn.box(212, 152, 120, 44, "free phase:\nspikes", BLUE)
    drawn.box(212, 232, 120, 44, "nudged phase:\nerrors", RED)
    drawn.box(362, 152, 110, 44, "rates r,\nslopes s", BLUE)
    drawn.box(362, 232, 110, 44, "deviations d", RED)
    drawn.arrow((160, 254), (180, 254), (180, 94), (210, 94), colour=INK)
    drawn.arrow((160, 154), (180, 154), (180, 174), (210, 174), colour=INK)
    drawn.arrow((272, 116), (272, 150), colour=BLUE)
    drawn.arrow((332, 174), (360, 174), colour=BLUE)
    drawn.arrow((400, 196), (400, 214), (290, 214), (290, 230), colour=BLUE)
    drawn.arrow((332, 254), (360, 254), colour=RED)
    drawn.box(520, 192, 180, 44, "contrast d \u2297 Pool(r):\nsums of int64", INK)
    drawn.arrow((472, 174), (500, 174), (500, 206), (518, 206), colour=BLUE)
    drawn.arrow((472, 254), (500, 254), (500, 222), (518, 222), colour=RED)
    drawn.box(520, 120, 180, 34, "added over all processes", INK)
    drawn.arrow((610, 192), (610, 156), colour=INK)
    drawn.box(520, 48, 180, 44, "optimizer, controllers,\nspectral norm", GREEN)
    drawn.arrow((610, 120), (610, 94), colour=INK)
    drawn.arrow((520, 62), (500, 62), (500, 36), (178, 36), (178, 62), (162, 62), colour=GREEN)
    drawn.text(520, 262, "a row of counters, losses and\nresiduals goes into the run file", "small")
    return drawn


DIAGRAMS = {"phases": phases, "response": response, "queue": queue, "batch": batch}
