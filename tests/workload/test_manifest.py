"""A manifest is believed as it was written, or not at all."""

import string
import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.manifest import (
    Array,
    Manifest,
    ManifestError,
    Piece,
    checksum,
    folder_name,
    folders_in,
    is_folder_name,
    manifest_key,
    step_of,
)

WHOLE = Manifest(
    folder="step-000000000012-0123abcd",
    step=12,
    written=1.5,
    seconds=0.25,
    ranks=2,
    job="1f2e",
    attempt=1,
    arrays={
        "u": Array(
            dtype="<f8",
            shape=(4, 3),
            pieces=(
                Piece(name="u.r00000.000", offset=(0, 0), shape=(2, 3), size=48, crc32="00000001"),
                Piece(name="u.r00001.000", offset=(2, 0), shape=(2, 3), size=48, crc32="00000002"),
            ),
        )
    },
    case={"N": 4},
    notes={"half": 6.0},
)


def test_a_manifest_comes_back_as_it_was_written() -> None:
    assert Manifest.from_bytes(WHOLE.to_bytes()) == WHOLE
    assert WHOLE.size == 96
    assert WHOLE.keys() == [f"{WHOLE.folder}/u.r00000.000", f"{WHOLE.folder}/u.r00001.000"]


@given(st.integers(0, len(WHOLE.to_bytes()) - 1))
def test_a_manifest_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ManifestError):
        Manifest.from_bytes(WHOLE.to_bytes()[:length])


@given(st.integers(0, len(WHOLE.to_bytes()) - 1), st.integers(0, 7))
def test_a_manifest_with_a_bit_flipped_anywhere_is_refused(position: int, bit: int) -> None:
    data = bytearray(WHOLE.to_bytes())
    data[position] ^= 1 << bit
    with pytest.raises(ManifestError):
        Manifest.from_bytes(bytes(data))


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b'{"format": 1}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        Manifest.from_bytes(data)


def test_a_manifest_of_a_newer_version_says_so() -> None:
    newer = WHOLE.to_bytes().replace(b'"version":1', b'"version":2')
    with pytest.raises(ManifestError, match=r"'tutti-checkpoint', 2.*reads .*'tutti-checkpoint', 1"):
        Manifest.from_bytes(newer)


@given(st.integers(0, 10**12 - 1), st.text("0123456789abcdef", min_size=8, max_size=8))
def test_a_folder_name_gives_its_step_back_and_sorts_by_it(step: int, token: str) -> None:
    name = folder_name(step, token)
    assert is_folder_name(name)
    assert step_of(name) == step
    assert (name > folder_name(0, "ffffffff")) == ((step, token) > (0, "ffffffff"))


@pytest.mark.parametrize(("step", "token"), [(-1, "01234567"), (10**12, "01234567"), (1, "0123"), (1, "../../..")])
def test_a_folder_name_that_cannot_be_is_refused(step: int, token: str) -> None:
    with pytest.raises(ValueError, match="allowed"):
        folder_name(step, token)


def test_a_step_is_read_from_a_checkpoints_folder_alone() -> None:
    with pytest.raises(ValueError, match="is not a checkpoint's folder"):
        step_of("results")


def test_folders_are_found_by_their_keys_the_newest_first() -> None:
    one, two = folder_name(1, "0" * 8), folder_name(2, "0" * 8)
    keys = [f"{one}/u", manifest_key(one), f"{two}/u", "lock.json", "results/step-1"]
    assert list(folders_in(keys).items()) == [(two, False), (one, True)]


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_a_checksum_in_parts_is_that_of_the_whole(parts: list[bytes]) -> None:
    crc = checksum(b"")
    for part in parts:
        crc = checksum(part, crc)
    # zlib's, although another library may have summed: a checkpoint is read where that one is not.
    assert crc == f"{zlib.crc32(b''.join(parts)):08x}"
    assert set(crc) <= set(string.hexdigits.lower())


def test_where_the_fast_library_is_not_installed_the_sum_is_the_same() -> None:
    """CRC-32's published check value, with zlib-ng and without."""
    ask = "from workload.manifest import checksum; print(checksum(b'123456789'))"
    for before in ("", "import sys; sys.modules['zlib_ng'] = None; "):
        done = subprocess.run([sys.executable, "-c", before + ask], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "cbf43926"
