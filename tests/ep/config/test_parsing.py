"""The configuration: precedence, the canonical form, and one clear line for every value that is not allowed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.ep.config.parsing import (
    CONTRAST_WINDOW_MAX,
    SECTIONS,
    Config,
    as_recorded,
    config_of_run,
    describe,
    make_config,
    merge,
    parse_setting,
    per_layer,
)
from spikesim.errors import InputError
from spikesim.io.fields import short_words, shown
from spikesim.io.toml import read_toml, tomllib

FIELDS = [(section, item) for section in SECTIONS for item in dataclasses.fields(getattr(Config(), section))]


def fault(values: dict[str, Any]) -> str:
    """The message about these values: one line, and not a long one."""
    with pytest.raises(InputError) as caught:
        make_config(values)
    message = str(caught.value)
    assert message and message.isprintable(), "one line"
    return message


def legal_values(item: "dataclasses.Field[Any]") -> st.SearchStrategy[Any]:
    """Values that a field allows, whatever the others are."""
    rules, kind = item.metadata, str(item.type)
    if item.name in ("arch", "dataset", "teacher", "weights"):
        return st.text(max_size=8)
    if item.name == "layers" and item.metadata["limits"].low == 1:
        return st.lists(st.integers(1, 20), max_size=3)
    if item.name == "layers":
        return st.lists(st.fixed_dictionaries({"kind": st.just("conv"), "channels": st.integers(1, 99)}), max_size=3)
    if item.name == "freeze":
        return st.lists(st.text("ab1", min_size=1, max_size=3), min_size=1).map(lambda names: sorted(set(names)))
    if item.name == "spikes":
        return st.lists(st.integers(0, 2**40), max_size=3)
    if rules["choices"]:
        return st.sampled_from(rules["choices"])
    if item.type is bool:
        return st.booleans()
    low = rules["limits"].above if rules["limits"].above is not None else rules["limits"].low
    if "int" in kind:
        number: st.SearchStrategy[Any] = st.integers(low, rules["limits"].high or 2**40)
    else:
        number = st.floats(low, rules["limits"].high, exclude_min=rules["limits"].above is not None)
    if rules["per_layer"]:
        number |= st.lists(number, min_size=1, max_size=3)
    return number | st.none() if rules["optional"] else number


BOUND_TO_OTHERS = (
    "steps", "window", "tolerance", "feedback_gain", "error_", "nudging", "contrast", "rule", "beta_", "activity_",
    "frames", "cutout", "dropout_", "extended_", "patience", "neuron", "refractory", "pooling",
    "residual_tolerance_nudged",
)  # fmt: skip
SEED = next(item for item in dataclasses.fields(Config) if item.name == "seed")
LATER = {item.name: item.default for _, item in FIELDS if item.metadata["later"]}
SETTABLE = [(section, item) for section, item in FIELDS if not item.name.startswith(BOUND_TO_OTHERS)]


@settings(deadline=None)
@given(st.data())
def test_canonical_form_survives_json_and_gives_the_same_configuration(data: st.DataObject) -> None:
    values: dict[str, Any] = {"seed": data.draw(st.integers(0, 2**63 - 1))}
    for section, item in data.draw(st.lists(st.sampled_from(SETTABLE), max_size=8)):
        values.setdefault(section, {})[item.name] = data.draw(legal_values(item), label=item.name)
    config = make_config(values)
    canonical = config.to_dict()
    assert make_config(canonical) == config
    assert json.loads(json.dumps(canonical)) == canonical
    for section, given_values in values.items():
        if section != "seed":
            for name, value in given_values.items():
                plain = value if not isinstance(value, tuple) else list(value)
                if name in LATER and value == LATER[name]:
                    assert name not in canonical[section], "runs from before there was the key keep their hash"
                else:
                    assert canonical[section][name] == plain


def test_nothing_given_is_the_defaults() -> None:
    assert make_config({}) == Config() == make_config(Config().to_dict())
    assert make_config({section: {} for section in SECTIONS}) == Config()


@pytest.mark.parametrize(
    ("given", "nudging", "steps", "beta"),
    [
        ({}, "deviation", 1, 0.0625),
        ({"nudged_phase": "clamped-spikes"}, "centered", 4, 1.0),
        ({"nudged_phase": "live-spikes"}, "centered", 8, 1.0),
        ({"nudged_phase": "live-spikes", "steps_nudged": 6}, "centered", 6, 1.0),
        ({"nudging": "centered", "beta": 2.0}, "centered", 1, 2.0),
    ],
)
def test_defaults_suit_the_nudged_phases(given: dict[str, Any], nudging: str, steps: int, beta: float) -> None:
    dynamics = make_config({"dynamics": given}).dynamics
    assert (dynamics.nudging, dynamics.steps_nudged, dynamics.beta) == (nudging, steps, beta)
    assert make_config({"dynamics": dataclasses.asdict(dynamics)}).dynamics == dynamics


@pytest.mark.parametrize(("section", "item"), FIELDS, ids=[f"{section}.{item.name}" for section, item in FIELDS])
def test_every_bad_value_is_refused_by_name(section: str, item: "dataclasses.Field[Any]") -> None:
    rules = item.metadata
    bad: list[Any] = [{"a": 1}, object(), [[1]]]
    bad += [] if rules["optional"] else [None]
    if item.type is str:
        bad += [1, True, ["adam"]]
        bad += ["Centered\nno such word", ""] if rules["choices"] else []
    elif item.type is bool:
        bad += [0, 1, "true", "yes"]
    elif item.name == "freeze":
        bad += [3, "", "conv1,", [1.5], [True], [""], ["conv1", None]]
    elif item.name in ("layers", "spikes"):
        bad += [3, "3", [1.5], [True], [-1], ["a"]]
    else:
        bad += ["1", "", True, float("nan"), float("inf"), -float("inf"), -1, -(10**400)]
        bad += [rules["limits"].low - 1] if rules["limits"].low is not None else []
        bad += [rules["limits"].above] if rules["limits"].above is not None else []
        bad += [rules["limits"].high + 1, 10**400, 1e300] if rules["limits"].high is not None else []
        bad += [1.5, 2.0] if "int" in str(item.type) else []
        if rules["per_layer"]:
            bad += [[], [-1.0], [1e-3, "a"], [float("nan")]]
        else:
            bad += [[1], [1, 2]]
    for value in bad:
        assert f"{section}.{item.name} " in fault({section: {item.name: value}}), repr(value)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", None, True, [1], {"x": 1}])
def test_bad_seed_is_refused(seed: Any) -> None:
    assert fault({"seed": seed}).startswith("seed is ")


def test_unknown_keys_are_refused_with_what_there_is() -> None:
    assert "dynamics, error_signals" in fault({"dynamic": {}})
    assert "learning_rate" in fault({"optimizer": {"lr": 0.1}})
    assert "optimizer" in fault({"optimizers": {"name": "adam"}})
    fault({"model": {"two\nlines": 1}})
    fault({"two\nlines": 1})
    for section in SECTIONS:
        for value in (None, 3, "adam", [1]):
            assert f"{section} is " in fault({section: value})


def test_phases_and_their_windows_fit_each_other() -> None:
    assert "window_free" in fault({"dynamics": {"window_free": 7}})
    assert "window_free" in fault({"dynamics": {"steps_free": 6}})
    assert "data.frames is 9" in fault({"data": {"frames": 9}, "dynamics": {"steps_free": 8, "window_free": 4}})
    assert "window_nudged is 22; it must be 1, for its phase has one step" in fault({"dynamics": {"window_nudged": 22}})
    for steps, window in ((4, 3), (4, 1), (1, 2)):
        assert "window_nudged" in fault({"dynamics": {"steps_nudged": steps, "window_nudged": window}})
    for steps, window in ((20, 20), (21, 20), (3, 2), (1, 1), (60000, CONTRAST_WINDOW_MAX)):
        assert make_config({"dynamics": {"steps_nudged": steps}}).dynamics.nudged_window == window
    assert make_config({"dynamics": {"steps_nudged": 4, "window_nudged": 2}}).dynamics.nudged_window == 2


def test_the_onset_ends_before_the_window() -> None:
    phase = {"steps_free": 20, "window_free": 8}
    assert "steps_onset is 13" in fault({"dynamics": phase | {"steps_onset": 13}})
    assert make_config({"dynamics": phase | {"steps_onset": 12}}).dynamics.onset(4) == 12
    for order, expected in (("synchronous", [4, 12, 12]), ("parity", [2, 6, 12]), ("upwards", [1, 1, 1])):
        dynamics = make_config({"dynamics": phase | {"order": order}}).dynamics
        assert [dynamics.onset(layers) for layers in (4, 12, 30)] == expected


def test_values_that_contradict_each_other_are_refused() -> None:
    assert "power of two" in fault({"dynamics": {"feedback_gain": 0.3}})
    assert make_config({"dynamics": {"feedback_gain": 0.125}}).dynamics.feedback_gain == 0.125
    for gain in (2.0**-9, -0.5, 2.0):
        assert "feedback_gain is" in fault({"dynamics": {"feedback_gain": gain}})
    for phase in ("live-spikes", "clamped-spikes"):
        message = fault({"dynamics": {"feedback_gain": 0.0, "nudged_phase": phase}})
        assert "feedback_gain is 0" in message and "'linear-response'" in message
    assert make_config({"dynamics": {"feedback_gain": 0.0}}).dynamics.feedback_gain == 0
    assert "error_gain is 0.3" in fault({"dynamics": {"error_gain": 0.3}})
    assert "feedback_gain is 0.5; with model.normalization" in fault({"dynamics": {"feedback_gain": 0.5}})
    assert "beta_low" in fault({"stability": {"beta_low": 3.0, "beta_high": 2.0}})
    assert "activity_floor" in fault({"stability": {"activity_floor": 0.5, "activity_ceiling": 0.4}})


def test_windows_that_enter_a_contrast_are_bounded() -> None:
    long = {"steps_free": 4096, "window_free": CONTRAST_WINDOW_MAX + 2}
    make_config({"dynamics": long})
    for nudging in ("one-sided", "random-sign"):
        assert "window_free" in fault({"dynamics": {**long, "nudging": nudging}})
    assert "window_nudged" in fault({"dynamics": {"steps_nudged": 4096, "window_nudged": CONTRAST_WINDOW_MAX + 2}})
    assert 2**16 * CONTRAST_WINDOW_MAX * 4 * 2 < 2**31, "four cells of p = 1 in two phases"


def test_engine_firing() -> None:
    assert make_config({"dynamics": {"firing": "stratified"}}).dynamics.engine_firing == "stratified"
    both = {"firing": "stratified", "inference": "mean-field"}
    assert make_config({"dynamics": both}).dynamics.engine_firing == "mean-field"


def test_file_then_settings_then_options(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "seed = 3\n[model]\narch = 'custom'\nlayers = [{kind = 'dense', channels = 5}]\n"
        "[optimizer]\nname = 'sgd'\nepochs = 7\nlearning_rate = [0.1, 1]\n"
    )
    from_file = read_toml(path)
    before = json.dumps(from_file)
    merged = merge(from_file, [parse_setting("optimizer.epochs=8"), parse_setting("optimizer.momentum = 0.5")])
    merged = merge(merged, [("optimizer.epochs", 9), ("seed", 4)])
    assert json.dumps(from_file) == before, "merge leaves its argument alone"
    config = make_config(merged)
    assert config.model.layers == ({"kind": "dense", "channels": 5},)
    assert (config.seed, config.optimizer.epochs, config.optimizer.momentum) == (4, 9, 0.5)
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("sgd", (0.1, 1.0))
    assert config.data == Config().data


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("dynamics.beta=1.5", "dynamics.beta", 1.5),
        (" data.limit = 10 ", "data.limit", 10),
        ("data.augment=true", "data.augment", True),
        ("optimizer.name=sgd", "optimizer.name", "sgd"),
        ("optimizer.name='sgd'", "optimizer.name", "sgd"),
        ("data.dataset=fashion-mnist", "data.dataset", "fashion-mnist"),
        ("data.dataset=a=b", "data.dataset", "a=b"),
        ("model.gain=[0.5, 1]", "model.gain", [0.5, 1]),
        ("model.layers=[{kind='conv', channels=2}]", "model.layers", [{"kind": "conv", "channels": 2}]),
        ("data.dataset=", "data.dataset", ""),
        ("data.limit=1\nseed=2", "data.limit", "1\nseed=2"),
    ],
)
def test_settings_are_toml_or_a_word(text: str, key: str, value: Any) -> None:
    assert parse_setting(text) == (key, value)


def test_settings_of_thousands_of_digits_are_refused_like_any_other() -> None:
    for digits in (400, 5000):
        with pytest.raises(InputError, match=r"data\.batch_size is") as caught:
            make_config(merge({}, [parse_setting("data.batch_size=" + "9" * digits)]))
        assert len(str(caught.value)) < 200


BEYOND = ("0x" + "f" * 5000, "[1, 0x" + "f" * 5000 + "]", "{ a = 0b1" + "0" * 64 + " }", f"{-(2**63) - 1}")


@pytest.mark.parametrize("text", BEYOND, ids=range(len(BEYOND)))
def test_integers_beyond_64_bits_are_refused_where_they_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "big.toml").write_text(f"[data]\nlimit = {text}\n")
    for read in (lambda: parse_setting(f"data.limit={text}"), lambda: read_toml(tmp_path / "big.toml")):
        with pytest.raises(InputError, match=r"data\.limit(\.a)? is an integer of \d+ bits") as caught:
            read()
        assert len(str(caught.value)) < 120


HUGE: dict[str, Any] = {
    "a bit too many": 2**64,
    "decimal": 10**400,
    "negative": -(10**400),
    "hexadecimal": 16**5000,
    "in a list": [10**5000],
    "in a table": {"a": 16**5000},
    "text": "x" * 5000,
    "63 bits": 2**63,
}


@pytest.mark.parametrize("value", HUGE.values(), ids=HUGE)
def test_no_message_about_a_value_is_long(value: Any) -> None:
    for section, item in [*FIELDS, ("", SEED)]:
        key = f"{section}.{item.name}" if section else item.name
        try:
            make_config(merge({}, [(key, value)]))
        except InputError as error:
            assert str(error).isprintable() and len(str(error)) < 600 and key in str(error)
        else:
            assert isinstance(value, str) or value == 2**63, "taken"


def test_halves_of_surrogate_pairs_are_no_text() -> None:
    for section, item in FIELDS:
        if item.type is str:
            assert f"{section}.{item.name} is 'a" in fault({section: {item.name: "a\udcff"}})
    fault({"\udcff": 1})
    fault({"data": {"\udcff": 1}})


@pytest.mark.parametrize("text", ["", "beta", "=1", " = 1", "dynamics.beta 1"])
def test_settings_without_a_key_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="key=value"):
        parse_setting(text)


def test_dotted_keys_need_a_section() -> None:
    with pytest.raises(InputError, match="seed is 3"):
        merge({"seed": 3}, [("seed.x", 1)])
    fault(merge({}, [("model", 3)]))
    fault(merge({}, [("model.a.b", 3)]))


@pytest.mark.parametrize("content", [b"seed = ", b"\xff\xfe", b"[model\n", b"seed = " + b"9" * 5000, b"seed=1\nseed=2"])
def test_files_that_are_not_toml_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.toml is not TOML") as caught:
        read_toml(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ['name = "\u00fc\U0001f600"', "", "# \u00fc"])
def test_a_byte_order_mark_is_passed_over_and_other_encodings_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "marked.toml"
    path.write_text(text, encoding="utf-8-sig")
    assert read_toml(path) == tomllib.loads(text)
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        data = text.encode(encoding)
        path.write_bytes(data)
        if data:
            with pytest.raises(
                InputError, match=rf"marked\.toml is not TOML: .*{encoding[:6].upper()}.*save it in UTF-8"
            ):
                read_toml(path)
    path.write_text('\n\nname = "\u00fc"', encoding="latin-1")
    with pytest.raises(InputError, match=r"line 3 is not text in UTF-8 \(byte 0xfc\)"):
        read_toml(path)


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match="cannot read"):
            read_toml(path)


def test_one_value_a_layer() -> None:
    assert per_layer(0.5, 3, "model.gain") == (0.5, 0.5, 0.5)
    assert per_layer((1.0, 2.0), 2, "model.gain") == (1.0, 2.0)
    with pytest.raises(InputError, match=r"model\.gain has 2 values; the network has 3 layers"):
        per_layer((1.0, 2.0), 3, "model.gain")


def test_description_names_every_key_once_and_says_what_it_means() -> None:
    rows = describe()
    assert [name for name, *_ in rows] == [f"{section}.{item.name}" for section, item in FIELDS] + ["preset", "seed"]
    defaults = Config()
    for name, default, _, text in rows:
        section, _, key = name.rpartition(".")
        assert default == (getattr(getattr(defaults, section), key) if section else getattr(defaults, key))
        assert text.endswith(".")
    allowed = {name: text for name, _, text, _ in rows}
    assert allowed["dynamics.firing"] == "iid, stratified"
    assert allowed["data.augment"] == "true, false"
    assert allowed["dynamics.beta"] == "above 0, at most 64"
    assert "a list with a value per layer" in allowed["model.gain"]


def test_nudged_phases_that_may_end_early_have_a_shorter_window() -> None:
    def make(**dynamics: Any) -> Config:
        return make_config({"dynamics": {"residual_tolerance_nudged": 1e-3, **dynamics}})

    for refused in ({}, {"nudged_phase": "live-spikes"}, {"nudged_phase": "live-spikes", "window_nudged": 8}):
        with pytest.raises(InputError, match=r"residual_tolerance_nudged is 0\.001; .*window_nudged below"):
            make(**refused)
    assert make(nudged_phase="live-spikes", window_nudged=4).dynamics.nudged_window == 4
    assert make(nudged_phase="clamped-spikes", window_nudged=2).dynamics.residual_tolerance_nudged == 1e-3


def test_cutout_needs_augmentation() -> None:
    assert make_config({"data": {"cutout": 8, "augment": True}}).data.cutout == 8
    with pytest.raises(InputError, match="cutout is 8; it needs"):
        make_config({"data": {"cutout": 8}})


def test_patience_needs_a_validation_set() -> None:
    given = {"data": {"validation": 0.1}, "optimizer": {"patience": 3}}
    assert make_config(given).optimizer.patience == 3
    assert "patience" not in make_config({}).to_dict()["optimizer"], (
        "runs from before there was the key keep their hash"
    )
    with pytest.raises(InputError, match=r"optimizer\.patience is 3; it needs a validation set: set data\.validation"):
        make_config({"optimizer": {"patience": 3}})


def test_what_a_file_lacks_has_the_value_of_its_time() -> None:
    """A run of before `model.normalization` had plain weights, and a feedback gain that the default now excludes.

    One of before `error_signals.answer` was answered by its read-out.
    """
    recorded = Config().to_dict()
    del recorded["model"]["normalization"]
    recorded["dynamics"]["feedback_gain"] = 1.0
    with pytest.raises(InputError, match="feedback_gain"):
        make_config(recorded)
    assert make_config(as_recorded(recorded)).model.normalization == "none"
    assert "normalization" not in recorded["model"], "the given values stay as they are"
    then = {"model": {"normalization": "none"}, "error_signals": {"answer": "readout"}}
    assert make_config(as_recorded({"seed": 3})) == make_config({"seed": 3, **then})
    for own in (Config(), make_config({"model": {"normalization": "weight-standardization"}})):
        assert config_of_run(own.to_dict()) == own
    changed = config_of_run(recorded, [("dynamics.beta", 0.5), ("seed", 4)])
    assert (changed.dynamics.beta, changed.seed, changed.model.normalization) == (0.5, 4, "none")


def test_values_are_shown_short_and_in_printable_characters() -> None:
    for value in (
        *HUGE.values(),
        [[[[[[1]]]]]],
        {"a": {"b": {"c": {"d": {"e": 1}}}}},
        list(range(99)),
        "\n\udcff\x1b",
        None,
    ):
        text = shown(value)
        assert text.isprintable() and len(text) <= 130
    assert shown(2**64 - 1) == "18446744073709551615" and shown(-(2**63)) == "-9223372036854775808"
    assert shown(["a", 1, True, {"b": 0.5}]) == "['a', 1, True, {'b': 0.5}]"
    assert short_words(f"a {'9' * 5000} b").endswith("9 b") and len(short_words(f"a {'9' * 5000} b")) < 200
    assert short_words("a " * 5000) == "a " * 5000, "the words of a long sentence are whole"
