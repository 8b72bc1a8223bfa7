"""What a run leaves: fields as Zarr, pictures, and the collection of fields on rank 0 that both need.

Fields are collected and written a slab of planes at a time: rank 0 never holds more than a slab.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from workload.kernels.flow.case import Case
from workload.kernels.flow.solver import Flow

SLAB_BYTES: Final = 64 << 20  # of one field: a chunk
FIELDS: Final = ("density", "u", "v", "w")
LONG_NAMES: Final = {
    "density": "density over the density at rest",
    "u": "velocity along x",
    "v": "velocity along y",
    "w": "velocity along z",
}
UNITS: Final = {"density": "1", "u": "cells/step", "v": "cells/step", "w": "cells/step"}


def slab_planes(flow: Flow) -> int:
    """Planes that make a slab."""
    nx, ny, nz = flow.case.grid
    return max(1, min(nz, SLAB_BYTES // (nx * ny * flow.dtype.itemsize)))


def slabs(flow: Flow, *, planes: int) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
    """(first plane, FIELDS as (planes, ny, nx)) from the low end up; None for the fields but on rank 0. Collective."""
    nz = flow.case.grid[2]
    for start in range(0, nz, planes):
        yield start, collect(flow, start, min(start + planes, nz))


def collect(flow: Flow, start: int, stop: int) -> dict[str, npt.NDArray[Any]] | None:
    """FIELDS of planes start ... stop on rank 0. Collective."""
    block = flow.part.block
    low, high = max(start, block.start[2]), min(stop, block.stop[2])
    mine = None
    if low < high:
        density, velocity = flow.fields(slice(low - block.start[2], high - block.start[2]))
        mine = (low - start, block.start, block.shape, np.stack([density, *velocity]))
    parts = flow.comm.gather(mine)
    if parts is None:
        return None
    nx, ny, _ = flow.case.grid
    whole = np.empty((len(FIELDS), stop - start, ny, nx), dtype=flow.dtype)
    for part in parts:
        if part is not None:
            first, (x, y, _), (width, height, _), values = part
            whole[:, first : first + values.shape[1], y : y + height, x : x + width] = values
    return dict(zip(FIELDS, whole, strict=True))


def _create(
    path: Path, *, shape: Sequence[int], chunk: Sequence[int], axes: str, kind: str, about: Mapping[str, str]
) -> Any:
    """An empty array of a group."""
    import tensorstore  # noqa: PLC0415 - not needed before the end of a run

    metadata = {
        "shape": list(shape),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "data_type": kind,
        "dimension_names": list(axes),
        "attributes": dict(about),
        "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1}}],
    }
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}, "metadata": metadata}
    return tensorstore.open(spec, create=True, delete_existing=True).result()


def write_zarr(flow: Flow, path: Path, *, step: int) -> None:
    """The fields as a Zarr group (format 3) that `xarray.open_zarr` reads. Collective."""
    nx, ny, nz = flow.case.grid
    planes = slab_planes(flow)
    stores: dict[str, Any] = {}
    if flow.comm.rank == 0:
        path.mkdir(parents=True, exist_ok=True)

        for axis, count in zip("zyx", (nz, ny, nx), strict=True):
            about = {"long_name": f"centres of cells along {axis}", "units": "cells"}
            _create(path / axis, shape=(count,), chunk=(count,), axes=axis, kind="float64", about=about)[...] = (
                np.arange(count) + 0.5
            )
        for name in FIELDS:
            about = {"long_name": LONG_NAMES[name], "units": UNITS[name]}
            stores[name] = _create(
                path / name, shape=(nz, ny, nx), chunk=(planes, ny, nx), axes="zyx", kind=flow.dtype.name, about=about
            )
    for start, fields in slabs(flow, planes=planes):
        if fields is not None:
            writes = [stores[name][start : start + len(values)].write(values) for name, values in fields.items()]
            for write in writes:
                write.result()
    if flow.comm.rank == 0:
        attributes: dict[str, Any] = {
            "case": flow.case.name,
            "step": step,
            "reynolds": flow.case.reynolds,
            "units": "lattice: a cell, a step",
        }
        write_group(path, attributes)


def write_group(path: Path, attributes: Mapping[str, Any]) -> None:
    """The group's own metadata, written last, with a copy of its arrays': one file tells a reader all."""
    arrays = {array.parent.name: json.loads(array.read_text()) for array in sorted(path.glob("*/zarr.json"))}
    consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": dict(attributes),
        "consolidated_metadata": consolidated,
    }
    (path / "zarr.json").write_text(json.dumps(group, indent=1))


def middle(flow: Flow) -> dict[str, npt.NDArray[Any]] | None:
    """FIELDS of the plane half-way up z, each (ny, nx), on rank 0. Collective."""
    plane = flow.case.grid[2] // 2
    fields = collect(flow, plane, plane + 1)
    return None if fields is None else {name: values[0] for name, values in fields.items()}


def speed(section: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Speed in a section, (ny, nx)."""
    return np.sqrt(sum(section[name].astype(np.float64) ** 2 for name in ("u", "v", "w")))


def vorticity(section: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """dv/dx - du/dy in a section, (ny, nx), by differences; zero along an axis of one cell."""
    found = np.zeros_like(section["u"], dtype=np.float64)
    if section["v"].shape[1] > 1:
        found += np.gradient(section["v"].astype(np.float64), axis=1)
    if section["u"].shape[0] > 1:
        found -= np.gradient(section["u"].astype(np.float64), axis=0)
    return found


def middle_solid(case: Case) -> npt.NDArray[np.bool_]:
    """The obstacle's cells in that plane, (ny, nx)."""
    nx, ny, nz = case.grid
    if case.obstacle is None:
        return np.zeros((ny, nx), dtype=np.bool_)
    solid: npt.NDArray[np.bool_] = case.obstacle.around([np.array([nz // 2]), np.arange(ny), np.arange(nx)])[0]
    return solid


def draw(
    values: npt.NDArray[Any],
    path: Path,
    *,
    solid: npt.NDArray[np.bool_],
    title: str,
    label: str,
    symmetric: bool = False,
) -> None:
    """A section (ny, nx) as a PNG picture with its scale; what is solid is grey."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second, at the end alone

    height, width = values.shape
    figure = Figure(figsize=(8.0, 1.2 + min(8.0, max(1.2, 6.4 * height / width))), layout="constrained")
    axes = figure.add_subplot()
    # Vorticity is greatest in the cells at the walls, by far: its colours leave out the last percent.
    most = float(np.quantile(np.abs(values), 0.99)) or 1.0
    scale: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -most, "vmax": most} if symmetric else {"cmap": "viridis"}
    axes.set_facecolor("0.5")
    image = axes.imshow(
        np.ma.masked_array(values, solid),
        origin="lower",
        extent=(0, width, 0, height),
        interpolation="nearest",
        **scale,
    )
    axes.set(title=title, xlabel="x (cells)", ylabel="y (cells)")
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    figure.savefig(path)


def animate(frames: Sequence[npt.NDArray[Any]], path: Path) -> None:
    """Sections of speed (ny, nx) as a looping GIF, all with one scale."""
    from matplotlib import colormaps  # noqa: PLC0415 - at the end alone
    from PIL import Image  # noqa: PLC0415 - the same

    most = max(float(frame.max()) for frame in frames) or 1.0
    colours = colormaps["viridis"]
    images = [Image.fromarray((colours(frame[::-1] / most)[:, :, :3] * 255).astype(np.uint8)) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=80, loop=0)
