"""Names, orders, and colours that stay apart for everybody."""

from itertools import combinations

import numpy as np
import pytest

from analysis import style

#: linear-light RGB as seen without red, or green, sensitive cones (Viénot, Brettel & Mollon 1999)
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "deuteranopia": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
}


def lab(color: str, seen: np.ndarray) -> np.ndarray:
    """CIELAB of a hex colour as a reader sees it."""
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(seen @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", BLINDNESS)
def test_methods_differ_in_colour_for_every_reader(kind: str) -> None:
    seen = {name: lab(look.color, BLINDNESS[kind]) for name, look in style.METHODS.items()}
    close = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(seen, 2)}
    assert min(close.values()) > 9, sorted((round(d, 1), pair) for pair, d in close.items())[:4]


def test_methods_differ_in_marker() -> None:
    assert len({look.marker for look in style.METHODS.values()}) == len(style.METHODS) == 8


def test_a_ninth_method_gets_a_look_of_its_own() -> None:
    ninth = style.look("my_method")
    assert ninth.label == "My Method"
    assert ninth == style.look("my_method")
    assert ninth.color not in {look.color for look in style.METHODS.values()}
    assert style.methods(["zeta", "aot_fc", "my_method", "fine_tuning"]) == [
        "fine_tuning",
        "aot_fc",
        "my_method",
        "zeta",
    ]


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
