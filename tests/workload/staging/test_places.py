"""URIs, names, parts, ETags: arithmetic."""

import itertools
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workload.staging import checksum, places

names = st.lists(st.text("ab./", min_size=1, max_size=8), max_size=6)


@given(st.integers(0, places.MAX_OBJECT_BYTES))
def test_parts_are_what_s3_allows(size: int) -> None:
    part = places.part_bytes(size)
    assert part >= 5 * places.MIB
    assert part % places.MIB == 0
    assert -(-size // part) <= places.MAX_PARTS


@given(st.integers(0, 10_000), st.integers(1, 500))
def test_spans_cover_everything_once(size: int, part: int) -> None:
    spans = places.spans(size, part)
    assert spans[0][0] == 0
    assert sum(length for _, length in spans) == size
    assert all(a + length == b for (a, length), (b, _) in itertools.pairwise(spans))
    assert all(length <= part for _, length in spans)


@given(st.text(max_size=30), st.text(max_size=10))
def test_a_name_never_leaves_its_folder(key: str, prefix: str) -> None:
    try:
        name = places.name_below(prefix + key, prefix)
    except ValueError:
        return
    path = PurePosixPath(name)
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert str(path) == name.removesuffix("/"), "two keys never become one name"


@given(st.sets(st.sampled_from(["a", "a/b", "a/b/c", "b", "b/c", "c", "d/", "a/", "c/"])))
def test_clashes_are_exactly_files_where_folders_are_needed(found: set[str]) -> None:
    files = {name for name in found if not name.endswith("/")}
    impossible = {name for name in files if any(other.startswith(f"{name}/") for other in found) or f"{name}/" in found}
    problems = places.clashes((name, f"s3://b/{name}") for name in sorted(found))
    assert len(problems) == len(impossible)


def test_the_same_object_twice_is_no_clash() -> None:
    assert places.clashes([("a", "s3://b/a"), ("a", "s3://b/a")]) == []


@pytest.mark.parametrize("uri", ["s3://", "s3:///x", "http://x", "", "input/x", "shared:../x"])
def test_what_is_no_place_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"names no bucket|nothing else is allowed|leaves the shared"):
        places.read_place(uri, "/efs")


def test_a_shared_path_needs_a_shared_folder() -> None:
    with pytest.raises(ValueError, match="no shared folder here"):
        places.read_place("shared:x", None)


@given(st.binary(max_size=300), st.integers(1, 100))
def test_an_etag_tells_the_content_and_its_parts(data: bytes, part: int) -> None:
    digests = [checksum.md5(data[a : a + n]).digest() for a, n in places.spans(len(data), part)]
    etag = checksum.etag_of(digests, multipart=True)
    read = checksum.read_etag(f'"{etag.digest}-{etag.parts}"')
    assert read is not None
    assert read.matches(digests)
    assert not read.matches([*digests[:-1], checksum.md5(data + b"x").digest()])
    whole = checksum.read_etag(checksum.md5(data).hexdigest())
    assert whole is not None
    assert whole.matches([checksum.md5(data).digest()])


@pytest.mark.parametrize(
    ("etag", "encryption"),
    [("0" * 32, "aws:kms"), ("0" * 32, "customer"), ("0" * 31, ""), ("0" * 32 + "-0", ""), ("opaque", "")],
)
def test_an_etag_that_is_no_checksum_is_not_taken_for_one(etag: str, encryption: str) -> None:
    assert checksum.read_etag(etag, encryption) is None


@pytest.mark.parametrize(("size", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (5e12, "5.0 TB")])
def test_sizes_for_people(size: float, said: str) -> None:
    assert places.for_people(size) == said


def test_staging_imports_neither_boto3_nor_numpy_until_it_moves_something() -> None:
    probe = "import sys, workload.staging; print({'boto3', 'botocore', 'numpy', 'mpi4py'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "set()"
