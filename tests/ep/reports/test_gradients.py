"""A gradient check in a page."""

import json

import pytest

from spikesim.ep.reports.gradients import gradient_charts, read_gradients
from spikesim.errors import InputError

LAYERS = ["conv1", "conv2"]


def check(**changes):
    similarity = {"weight": {"cosine": [0.5, None], "norm_ratio": [1.5, 2.0]}}
    variants = [{"variant": {"steps_nudged": 4, "beta": beta}, "to_exact": similarity} for beta in (0.5, 1.0)]
    mean_field = {"to_exact": {"weight": {"cosine": [0.99, 1.0], "norm_ratio": [1.0, 1.0]}}}
    return {"layers": LAYERS, "samples": 8, "repeats": 2, "variants": variants, "mean_field": mean_field, **changes}


def test_cosines_by_layer(tmp_path):
    (tmp_path / "check.json").write_text(json.dumps(check()))
    cosine, norm = gradient_charts(read_gradients(tmp_path / "check.json", LAYERS))
    assert [own.name for own in cosine.series] == ["4 steps, beta 0.5", "4 steps, beta 1", "mean field"]
    assert cosine.series[0].y == [0.5, None] and cosine.series[2].y == [0.99, 1.0]
    assert cosine.categories == LAYERS and norm.series[1].y == [1.5, 2.0]
    assert "2 mini-batches of 8 samples" in cosine.note


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a gradient check"),
        (json.dumps(check(variants=[{}])), "is not a gradient check"),
        (
            json.dumps(check(mean_field={"to_exact": {"weight": {"cosine": ["<b>"] * 2, "norm_ratio": [1, 1]}}})),
            "not a gradient",
        ),
        (
            json.dumps(check(variants=[{**check()["variants"][0], "variant": {"steps_nudged": "x", "beta": 1}}])),
            "not a gradient",
        ),
        (json.dumps(check(layers=["conv1"])), "is not a gradient check"),
        (json.dumps(check(layers=["a", "b"])), "has the layers a, b, the run has conv1, conv2"),
    ],
)
def test_what_is_no_check_of_the_run_is_refused(text, fragment, tmp_path):
    (tmp_path / "check.json").write_text(text)
    with pytest.raises(InputError, match=fragment) as caught:
        read_gradients(tmp_path / "check.json", LAYERS)
    assert "\n" not in str(caught.value) and "gradcheck" in str(caught.value)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_gradients(tmp_path / "check.json", LAYERS)


def test_numbers_that_json_does_not_have_are_none(tmp_path):
    text = json.dumps(check()).replace("1.5", "NaN").replace("2.0]", "Infinity]")
    (tmp_path / "check.json").write_text(text)
    assert read_gradients(tmp_path / "check.json", LAYERS)["variants"][0]["to_exact"]["weight"]["norm_ratio"] == [
        None,
        None,
    ]
