"""Outputs: from a node's `output/` to S3 and the shared folder, under `node-N/`."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workload.staging.copying import Copy
from workload.staging.crew import Crew, Limits, Moved, Transfer
from workload.staging.disk import FoundFile, free_bytes, search, shortage
from workload.staging.places import Place, S3Place, StagingError, read_place
from workload.staging.s3 import Lazy, connect
from workload.staging.upload import Upload

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

NAMED: Final = 10  # files that an error names; it counts the others


def upload_outputs(
    uris: Sequence[str],
    *,
    folder: Path,
    node: int,
    shared: Path | None,
    rescue: Path | None,
    s3: "Callable[[], S3Client]" = connect,
    progress: Callable[[Moved], None] | None = None,
    limits: Limits | None = None,
) -> Moved:
    """Copy all files below `folder` to `<uri>/node-<node>/`, for each of `uris`. Every node of the gang calls it.

    A file that fails does not keep the others back. What could not be uploaded is copied to `rescue`, unless it lies on
    the shared folder already, and the error says where.

    Parameters
    ----------
    uris
        `s3://BUCKET/PREFIX` or `shared:PATH`, with or without a slash at the end; each gets everything.
    folder
        The job's `output` folder on this node; it may be a link. Nothing is done where it does not exist.
    rescue
        A folder on the shared folder, None where there is none.
    s3, progress, limits
        As in `stage_to_node`.

    Raises
    ------
    StagingError
        Files that are not where they should be, and where they are instead.
    """
    if not uris or not folder.is_dir():
        return Moved()
    limits = limits or Limits()
    tree = search(folder)
    moved = Moved(
        of_files=len(tree.files) * len(uris),
        of_bytes=sum(one.size for one in tree.files) * len(uris),
        notes=tuple(tree.notes),
    )
    problems = list(tree.problems)
    lost: dict[str, FoundFile] = {}
    with Lazy(s3) as client:
        for uri in uris:
            try:
                place = read_place(uri, None if shared is None else str(shared))
                transfers = _transfers(place, node, tree.files, client, limits)
            except Exception as error:  # noqa: BLE001  whatever it is, the files must be saved
                failures = {one.name: str(error) for one in tree.files}
            else:
                moved, failures = _run(transfers, limits, progress, moved)
            problems += _told(uri, failures)
            lost |= {one.name: one for one in tree.files if one.name in failures}
    if lost:
        problems.append(_rescue(folder, list(lost.values()), shared, rescue, replace(limits, spare_bytes=0)))
    if problems:
        raise StagingError(problems)
    return moved


def _transfers(
    place: Place, node: int, files: Sequence[FoundFile], client: Lazy, limits: Limits
) -> dict[str, Transfer]:
    """What brings each of `files` to `place`, by the file's name.

    Raises
    ------
    StagingError
        If the shared folder has no room.
    """
    below = f"node-{node}"
    if isinstance(place, S3Place):
        prefix = f"{place.key.rstrip('/')}/" if place.key.strip("/") else ""
        return {
            one.name: Upload(
                source=one.path,
                size=one.size,
                bucket=place.bucket,
                key=f"{prefix}{below}/{one.name}",
                client=client(),
                limits=limits,
            )
            for one in files
        }
    return _copies(Path(place.path) / below, files, limits)


def _copies(target: Path, files: Sequence[FoundFile], limits: Limits) -> dict[str, Transfer]:
    # A job may write to its place on the shared folder itself: then it is there.
    pending = [one for one in files if not _is_same(target / one.name, one.path)]
    if problem := shortage(target, sum(one.size for one in pending), len(pending), limits.spare_bytes):
        raise StagingError([problem])
    for one in pending:
        (target / one.name).parent.mkdir(parents=True, exist_ok=True)
    return {one.name: Copy(source=one.path, target=target / one.name, size=one.size, durable=True) for one in pending}


def _is_same(target: Path, source: Path) -> bool:
    return target.exists() and target.samefile(source)


def _run(
    transfers: dict[str, Transfer], limits: Limits, progress: Callable[[Moved], None] | None, already: Moved
) -> tuple[Moved, dict[str, str]]:
    """Returns how far it came in all, and file's name -> reason of what failed."""
    if not transfers:
        return already, {}
    moved, failures = Crew(list(transfers.values()), limits=limits, keep_going=True).run(progress, already)
    return moved, {name: failures[transfer.name] for name, transfer in transfers.items() if transfer.name in failures}


def _told(uri: str, failures: dict[str, str]) -> list[str]:
    told = [f"{name} was not brought to {uri}: {why}" for name, why in list(failures.items())[:NAMED]]
    more = len(failures) - len(told)
    return [*told, *([f"and {more} more files for {uri}"] if more else [])]


def _rescue(folder: Path, files: Sequence[FoundFile], shared: Path | None, rescue: Path | None, limits: Limits) -> str:
    """Save `files` on the shared folder. Returns what to tell the user."""
    if shared is not None and folder.resolve().is_relative_to(shared.resolve()):
        return f"nothing is lost: the files are on the shared folder, in {folder.resolve()}"
    if rescue is None:
        return f"LOST with this node: there is no shared folder to keep them on ({len(files)} files)"
    try:
        fit = _that_fit(files, free_bytes(rescue))
        kept = {one.name for one in fit}
        failures = {one.name: "no room" for one in files if one.name not in kept}
        failures |= _run(_copies(rescue, fit, limits), limits, None, Moved())[1]
    except Exception as error:  # noqa: BLE001  the upload's failure must be told whatever happens here
        failures = {one.name: str(error) for one in files}
    saved = f"{len(files) - len(failures)} files were saved on the shared folder, in {rescue}"
    if not failures:
        return f"nothing is lost: {saved}"
    names = ", ".join(f"{name} ({why})" for name, why in list(failures.items())[:NAMED])
    return f"{saved}; LOST with this node are {len(failures)}: {names}"


def _that_fit(files: Sequence[FoundFile], free: int) -> list[FoundFile]:
    """As many of `files` as can be saved: the smallest first."""
    fit = []
    for one in sorted(files, key=lambda one: one.size):
        free -= one.size
        if free < 0:
            break
        fit.append(one)
    return fit
