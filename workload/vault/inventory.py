"""Which checkpoints a target holds, whether they can be believed, and which may go. Standard library only.

The running program and the client (`tutti checkpoints ls|verify|prune`) both ask here. Nothing is collective.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from workload.manifest import Manifest, ManifestError, Piece, folders_in, manifest_key, step_of
from workload.vault.store import LostError, Store

KEEP: Final = 2  # good checkpoints that stay


@dataclass(frozen=True, kw_only=True)
class Found:
    """A checkpoint's folder. manifest: None where it was never committed or cannot be believed.

    damage: what is wrong with it, as far as names and sizes tell; empty for one that was never committed.
    """

    folder: str
    step: int
    committed: bool
    manifest: Manifest | None
    damage: tuple[str, ...]

    @property
    def good(self) -> bool:
        return self.manifest is not None and not self.damage


def survey(store: Store) -> list[Found]:
    """All checkpoints of `store`, the one to go on from first: by step, then by time.

    Costs one listing and one read a manifest; what the pieces hold is `verify`'s to see.

    Raises
    ------
    StoreError
        The store failed.
    """
    sizes = store.list()
    found = [_found(store, folder, committed, sizes) for folder, committed in folders_in(list(sizes)).items()]
    return sorted(found, key=lambda f: (f.step, f.manifest.written if f.manifest else 0.0), reverse=True)


def verify(store: Store, manifest: Manifest) -> list[str]:
    """Read every piece and say what is wrong, one line each; empty where all is well.

    Raises
    ------
    StoreError
        The store failed: that says nothing about the pieces.
    """
    problems = []
    for array in manifest.arrays.values():
        for piece in array.pieces:
            try:
                crc = store.read_piece(f"{manifest.folder}/{piece.name}", memoryview(bytearray(piece.size)))
            except LostError as error:
                problems.append(str(error))
            else:
                problems += mismatch(store, manifest.folder, piece, crc)
    return problems


def mismatch(store: Store, folder: str, piece: Piece, crc: str) -> list[str]:
    """The line that says that a piece's checksum is not the manifest's; empty where it is."""
    if crc == piece.crc32:
        return []
    return [f"{store.target}/{folder}/{piece.name} was changed: its checksum is {crc}, it should be {piece.crc32}"]


def superfluous(folders: Mapping[str, bool], *, keep: int, bad: Iterable[str] = (), newest: str = "") -> list[str]:
    """Which folders may go: all but the last `keep` good ones.

    Parameters
    ----------
    folders
        folder -> whether it was committed. What was not is superfluous: call this only with the lock held.
    keep
        from 1.
    bad
        committed, but known to be damaged.
    newest
        stays in any case: what was committed just now.
    """
    damaged = set(bad)
    good = [folder for folder, committed in folders.items() if committed and folder not in damaged]
    good.sort(key=lambda folder: (folder == newest, folder), reverse=True)
    stays = set(good[:keep])
    return sorted(set(folders) - stays)


def remove(store: Store, folders: Sequence[str]) -> None:
    """Remove `folders` with all they hold: the manifests first, so that a cut in the middle leaves nothing half good.

    Raises
    ------
    StoreError
        The store failed.
    """
    if not folders:
        return
    inside = [key for key in store.list() if key.partition("/")[0] in set(folders)]
    manifests = {manifest_key(folder) for folder in folders}
    store.delete([key for key in inside if key in manifests])
    store.delete([key for key in inside if key not in manifests])


def _found(store: Store, folder: str, committed: bool, sizes: Mapping[str, int]) -> Found:
    manifest, damage = None, []
    if committed:
        try:
            manifest = _manifest(store, folder)
            damage = _damage(store, manifest, sizes)
        except ManifestError as error:
            damage = [f"{store.target}/{manifest_key(folder)}: {error}"]
    return Found(folder=folder, step=step_of(folder), committed=committed, manifest=manifest, damage=tuple(damage))


def _manifest(store: Store, folder: str) -> Manifest:
    entry = store.get(manifest_key(folder))
    if entry is None:
        raise ManifestError("the manifest was there and is gone")
    manifest = Manifest.from_bytes(entry.data)
    if manifest.folder != folder:
        raise ManifestError(f"the manifest is of {manifest.folder}")
    return manifest


def _damage(store: Store, manifest: Manifest, sizes: Mapping[str, int]) -> list[str]:
    damage = []
    for array in manifest.arrays.values():
        for piece in array.pieces:
            key = f"{manifest.folder}/{piece.name}"
            if key not in sizes:
                damage.append(f"{store.target}/{key} is not there")
            elif sizes[key] != piece.size:
                damage.append(f"{store.target}/{key} has {sizes[key]} bytes, it should have {piece.size}")
    return damage
