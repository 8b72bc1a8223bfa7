"""Case files, and obstacles from files."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave

from workload.kernels.flow.casefile import CaseError, load, parse_grid
from workload.kernels.flow.obstacles import ObstacleError, from_file

GOOD = """
name: weir
grid: 40x20x2
reynolds: 50
velocity: 0.05
length: 10
sides:
  x: [{inlet: [0.075, 0, 0], profile: parabolic}, outlet]
  y: [wall, {wall: [0.1, 0, 0]}]
force: [0, 0, 1.0e-6]
obstacle: {mask: block.npy, at: [8, 0]}
initial: inlet
magic: 0.25
"""


def test_a_case_file_becomes_a_case(tmp_path: Path) -> None:
    np.save(tmp_path / "block.npy", np.ones((6, 4)))
    (tmp_path / "case.yaml").write_text(GOOD)
    case = load(tmp_path / "case.yaml")
    assert case.name == "weir"
    assert case.grid == (40, 20, 2)
    assert case.reynolds == pytest.approx(50)
    assert case.sides[0][0].profile == "parabolic"
    assert list(case.sides[1][1].velocity) == [0.1, 0, 0]
    assert list(case.periodic) == [False, False, True]
    assert case.magic == 0.25
    assert case.obstacle is not None
    assert case.obstacle.size == 6
    assert int(case.obstacle.mask.sum()) == 24
    assert case.obstacle.mask[0, 0, 8]


def test_all_problems_of_a_case_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "grid: 40by20\nreynolds: -1\nvelocity: fast\nsides: {x: [inlet, outlet], q: wall, y: [wall]}\n"
        "force: [1, 2]\nobstacle: {image: none.png, at: [1]}\ninitial: still\ncollision: mrt\ncolour: red\n"
    )
    with pytest.raises(CaseError) as caught:
        load(tmp_path / "bad.yaml")
    told = "\n".join(caught.value.problems)
    for part in (
        "colour: no such key",
        "length: is missing",
        "grid: got '40by20'; allowed: NXxNYxNZ",
        "reynolds: got -1; allowed: a number above 0",
        "velocity: got 'fast'; allowed: a number",
        "sides.x[0]: got 'inlet'",
        "sides.q: no such key",
        "sides.y: got ['wall']",
        "force: got [1, 2]",
        "obstacle.at: got [1]",
        "none.png: cannot be read",
        "initial: got 'still'; allowed: rest, inlet, taylor-green",
        "collision: got 'mrt'; allowed: trt, bgk",
    ):
        assert part in told
    assert len(caught.value.problems) == 13


@pytest.mark.parametrize("text", ["[1, 2]", "grid: [", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(CaseError, match=r"bad\.yaml: 1 problem"):
        load(tmp_path / "bad.yaml")


@pytest.mark.parametrize(("text", "grid"), [("129x129x1", (129, 129, 1)), ("4X5", (4, 5, 1)), ("1x2x3", (1, 2, 3))])
def test_grids_are_read(text: str, grid: tuple[int, int, int]) -> None:
    assert parse_grid(text) == grid


@pytest.mark.parametrize("text", ["", "4", "0x4x4", "4x4x4x4", "4x-1", "axb"])
def test_other_grids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: NXxNYxNZ"):
        parse_grid(text)


def test_an_image_is_extruded_with_its_lowest_row_first(tmp_path: Path) -> None:
    picture = np.ones((3, 5, 3))
    picture[2, 1] = 0.0  # black, in the lowest row
    imsave(tmp_path / "p.png", picture)
    mask = from_file(tmp_path / "p.png", (5, 3, 7)).mask
    assert mask.shape == (1, 3, 5)
    assert np.argwhere(mask).tolist() == [[0, 0, 1]]


def test_what_is_transparent_is_no_obstacle(tmp_path: Path) -> None:
    picture = np.zeros((2, 2, 4))
    picture[0, 0, 3] = 1.0
    imsave(tmp_path / "p.png", picture)
    assert np.argwhere(from_file(tmp_path / "p.png", (2, 2, 1)).mask).tolist() == [[0, 1, 0]]


def test_an_obstacle_larger_than_the_grid_is_refused_with_the_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((6, 4)))
    with pytest.raises(ObstacleError, match=r"is 4x6 cells at \(7, 0\), the grid only 10x20x1; needs at least 11x6x1"):
        from_file(tmp_path / "m.npy", (10, 20, 1), at=(7, 0))


@pytest.mark.parametrize(("array", "told"), [(np.zeros((3, 3)), "no solid cell"), (np.ones(3), "has 1 axes")])
def test_masks_that_mean_nothing_are_refused(
    tmp_path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.float64]], told: str
) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(ObstacleError, match=told):
        from_file(tmp_path / "m.npy", (10, 20, 1))
