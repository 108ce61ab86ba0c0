"""Names, orders, and colours that stay apart for everybody."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import names, page, style
from analysis.latex import to_latex
from analysis.reports import MethodInfo
from analysis.tables import Cell, Table

#: linear-light RGB as seen without red, or green, sensitive cones (Viénot, Brettel & Mollon 1999)
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
    # without blue ones (Machado, Oliveira & Fernandes 2009, severity 1)
    "tritanopia": np.array([[1.25553, -0.07675, -0.17878], [-0.07841, 0.93081, 0.14760], [0.00473, 0.69137, 0.30390]]),
}


def lab(color: str, seen: np.ndarray) -> np.ndarray:
    """CIELAB of a hex colour as a reader sees it."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(seen @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


OTHERS = [f"method_{i}" for i in range(8)]


def luminance(color: str) -> float:
    lightness = lab(color, BLINDNESS["none"])[0]
    return ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3


def contrast(color: str, ground: str) -> float:
    """Contrast of two colours as WCAG has it, from 1 to 21."""
    low, high = sorted((luminance(color), luminance(ground)))
    return (high + 0.05) / (low + 0.05)


def cards() -> dict[str, str]:
    """What figures stand on, on a light page and on a dark one."""
    css = (Path(style.__file__).parent / "assets" / "page.css").read_text()
    light, dark = re.findall(r"--card:(#[0-9a-f]{6})", css)
    return {"light": light, "dark": dark}


@pytest.mark.parametrize("page", ["light", "dark"])
@pytest.mark.parametrize("kind", BLINDNESS)
def test_sixteen_methods_differ_in_colour_for_every_reader(kind: str, page: str) -> None:
    """ΔE of CIELAB; 2 is just noticeable, and none of the sixteen are nearer than five times that."""
    looks = style.looks([*style.METHODS, *OTHERS])
    shown = {name: look.color if page == "light" else look.dark for name, look in looks.items()}
    seen = {name: lab(color, BLINDNESS[kind]) for name, color in shown.items()}
    close = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(seen, 2)}
    assert len(seen) == 16
    assert min(close.values()) > 10, sorted((round(d, 1), pair) for pair, d in close.items())[:4]


def test_sixteen_methods_differ_in_marker() -> None:
    assert len({look.marker for look in style.looks([*style.METHODS, *OTHERS]).values()}) == 16


def test_every_method_stands_out_from_a_light_and_from_a_dark_page() -> None:
    looks = style.looks([*style.METHODS, *OTHERS])
    assert cards()["light"] == "#ffffff"
    assert {name: c for name, look in looks.items() if (c := contrast(look.color, "#ffffff")) < 3} == {}
    assert {name: c for name, look in looks.items() if (c := contrast(look.dark, cards()["dark"])) < 3} == {}


def test_other_methods_are_drawn_with_another_line() -> None:
    looks = style.looks([*style.METHODS, *OTHERS])
    assert not {looks[name].line for name in OTHERS} & {look.line for look in style.METHODS.values()}


def test_the_papers_methods_look_as_they_always_did() -> None:
    """Readers know them by now; a published figure is compared with a new one. Two are darker than they were."""
    assert {name: (look.color, look.marker) for name, look in style.METHODS.items()} == {
        "fine_tuning": ("#4d4d4d", "X"), "adapters": ("#332288", "s"), "lora": ("#3d8fd1", "D"),
        "bitfit": ("#aa3377", "p"), "p_tuning_v1": ("#c38700", "v"), "p_tuning_v2": ("#d1602b", "^"),
        "aot_kronecker": ("#5a9678", "h"), "aot_fc": ("#0b7a4b", "o"),
    }  # fmt: skip
    assert style.looks([*OTHERS, *style.METHODS]).items() >= style.METHODS.items()


@given(st.lists(st.text("abcdefgh_", min_size=1), min_size=1, max_size=64, unique=True), st.data())
def test_no_two_methods_look_alike_and_a_newcomer_moves_only_those_after_it(
    names: list[str], data: st.DataObject
) -> None:
    looks = style.looks(names)
    assert len({(look.color, look.marker) for look in looks.values()}) == len(names)
    assert len({look.color for look in looks.values()}) == min(len(names), 8)
    place = data.draw(st.integers(0, len(names)))
    assert (
        style.looks([*names[:place], "newcomer", *names[place:]]).items()
        >= {n: looks[n] for n in names[:place]}.items()
    )


def test_a_method_of_the_folder_looks_the_same_whatever_else_is_shown() -> None:
    labels = {name: name.upper() for name in OTHERS[:3]}
    with style.context(labels, ["lora", OTHERS[0]]):
        alone = style.look(OTHERS[0])
    with style.context(labels, ["a_stranger", *OTHERS]):
        assert style.look(OTHERS[0]) == alone
        assert len({style.look(name) for name in ["a_stranger", *OTHERS]}) == 9


def test_a_methods_own_label_is_printed_and_one_without_is_called_after_its_id() -> None:
    with style.context({"mine": "Mine (v2)"}, ["mine", "other_one"]):
        assert style.method("mine") == "Mine (v2)"
        assert style.method("other_one") == "Other One"
    assert style.method("mine") == "Mine"


def test_the_papers_methods_have_their_names_also_where_nobody_says(methods: dict[str, MethodInfo]) -> None:
    """A frame without the methods' own labels, such as one from elsewhere: the same names."""
    assert style.LABELS.keys() == style.METHODS.keys()
    assert {name: methods[name].label for name in style.LABELS} == style.LABELS
    with style.context({"lora": "LoRA (ours)"}, ["lora"]):
        assert style.method("lora") == "LoRA (ours)"


def test_methods_stand_in_the_papers_order_then_by_name() -> None:
    assert style.methods(["zeta", "aot_fc", "my_method", "fine_tuning"]) == [
        "fine_tuning",
        "aot_fc",
        "my_method",
        "zeta",
    ]


def test_backbones_stand_by_size_whatever_their_spelling() -> None:
    names = ["deberta-xl", "FacebookAI/roberta-large", "minilm", "mine", "roberta-base", "other", "a/tiny"]
    assert style.backbones(names, {"mine": 2e8, "roberta-base": 9e9}) == [
        *("minilm", "roberta-base", "mine", "FacebookAI/roberta-large", "deberta-xl", "a/tiny", "other"),
    ]
    with style.context(sizes={"z": 1e6, "a": 2e6}):
        assert style.backbones(["a", "z"]) == ["z", "a"]


def test_tasks_are_named_and_ordered_as_in_the_paper_whatever_their_spelling() -> None:
    assert style.tasks(["glue/cola", "glue/my_task", "glue/sst2", "glue/stsb"]) == [
        *("glue/stsb", "glue/sst2", "glue/cola", "glue/my_task"),
    ]
    assert [style.task(t) for t in ("glue/sst2", "glue/sst-2", "superglue/multirc", "demo/agree", "plain")] == [
        *("SST-2", "SST-2", "MultiRC", "agree", "plain"),
    ]


@pytest.mark.parametrize(
    ("count", "grid"),
    [(1, (1, 1)), (2, (1, 2)), (4, (1, 4)), (5, (2, 3)), (6, (2, 3)), (7, (2, 4)), (8, (2, 4)), (9, (3, 3))],
)
def test_panels_leave_few_places_empty(count: int, grid: tuple[int, int]) -> None:
    figure, axes = style.panels(count, "x", "y")
    assert len(axes) == count
    assert axes[0].get_subplotspec().get_gridspec().get_geometry() == grid
    assert axes[0].get_ylabel() == "y"
    assert axes[-1].get_xlabel() == "x"
    assert all(axis in figure.axes for axis in axes)


def test_the_context_leaves_no_trace() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with style.context():
        assert mpl.rcParams["axes.grid"]
    assert dict(mpl.rcParams) == before


def test_a_name_with_a_dot_ends_no_sentence() -> None:
    """The paper's own, and what a method of somebody's calls itself."""
    text = "Farthest is Kron. AoT P-Tuning by 3.0. LoRA is not. Is it? It is: Mr. X wins."
    assert names.sentences(text) == [
        "Farthest is Kron. AoT P-Tuning by 3.0.",
        "LoRA is not.",
        "Is it?",
        "It is: Mr.",
        "X wins.",
    ]
    with style.context({"x": "Mr. X"}, ["x"]):
        assert names.sentences(text)[-1] == "It is: Mr. X wins."
    assert names.sentences("Of Kron. AoT P-Tuning: all", r"(?<=[.:;]) ") == ["Of Kron. AoT P-Tuning:", "all"]


def test_the_page_and_the_first_screen_do_not_cut_such_a_name() -> None:
    long = 20 * "Some words stand here, "
    page_text = page._text(f"{long}of LoRA 1, Kron. AoT P-Tuning 5 and more. {long}as well.", "", "More", 100)
    assert "Kron.</p>" not in page_text
    assert "Kron. AoT P-Tuning 5 and more.</p>" in page_text
    table = Table("t", "t", ("a",), ((Cell("x"),),), (f"Lost by Kron. AoT P-Tuning here; {long}",))
    assert "Lost by Kron. AoT P-Tuning here}" in to_latex(table)
