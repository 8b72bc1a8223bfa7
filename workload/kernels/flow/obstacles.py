"""Obstacles from files: a `.npy` mask, or an image that is extruded along z."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from workload.kernels.flow.case import Obstacle


class ObstacleError(ValueError):
    """An obstacle that cannot be used."""


def from_file(
    path: Path,
    grid: tuple[int, int, int],
    *,
    at: tuple[int, int] = (0, 0),
    darker_than: float = 0.5,
    size: float | None = None,
) -> Obstacle:
    """The obstacle in a file, its low corner at cell `at` (x, y), in a grid of so many cells along x, y, z.

    `.npy`: an array (y, x) or (z, y, x), non-zero where solid. Anything else is an image, whose pixels darker than
    `darker_than` (0 black to 1 white; what is transparent is white) are solid, its lowest row at y = 0. size: what
    drag is related to, in cells; else the obstacle's extent along y.

    Raises
    ------
    ObstacleError
        The file cannot be read, has another number of axes, or is larger than the grid.
    """
    try:
        mask = _mask(path, darker_than)
    except (OSError, ValueError, SyntaxError) as error:
        raise ObstacleError(f"{path}: cannot be read: {error}") from error
    nx, ny, nz = grid
    depth, height, width = mask.shape
    if at[0] + width > nx or at[1] + height > ny or depth not in (1, nz):
        raise ObstacleError(
            f"{path}: is {width}x{height}{f'x{depth}' if depth > 1 else ''} cells at ({at[0]}, {at[1]}), "
            f"the grid only {nx}x{ny}x{nz}; needs at least "
            f"{at[0] + width}x{at[1] + height}x{depth if depth > 1 else nz}"
        )
    if not mask.any():
        raise ObstacleError(f"{path}: has no solid cell (darker than {darker_than:g}, or not zero)")
    whole = np.zeros((depth, ny, nx), dtype=np.bool_)
    whole[:, at[1] : at[1] + height, at[0] : at[0] + width] = mask
    rows = np.nonzero(mask.any(axis=(0, 2)))[0]
    return Obstacle(mask=whole, size=float(rows[-1] - rows[0] + 1) if size is None else size)


def _mask(path: Path, darker_than: float) -> npt.NDArray[np.bool_]:
    if path.suffix == ".npy":
        array = np.load(path, allow_pickle=False)
        if array.ndim not in (2, 3):
            raise ValueError(f"has {array.ndim} axes; allowed: 2 (y, x) or 3 (z, y, x)")
        solid: npt.NDArray[np.bool_] = (array != 0).reshape((1,) * (3 - array.ndim) + array.shape)
        return solid
    from matplotlib.image import imread  # noqa: PLC0415 - half a second that most runs do not need

    image: npt.NDArray[Any] = np.asarray(imread(path), dtype=np.float64)
    if image.max(initial=0.0) > 1.0:
        image /= 255.0
    if image.ndim == 2:
        image = image[:, :, None]
    channels = image.shape[2]
    brightness = image[:, :, : 1 if channels < 3 else 3].mean(axis=2)
    if channels in (2, 4):
        alpha = image[:, :, -1]
        brightness = brightness * alpha + (1.0 - alpha)
    dark: npt.NDArray[np.bool_] = (brightness < darker_than)[None, ::-1]
    return dark
