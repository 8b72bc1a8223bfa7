"""A result as a JSON document: written, found again, and merged with the other shares of an array job."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from workload.contract import BatchVariable
from workload.kernels._arguments import data_path
from workload.kernels.montecarlo.moments import BLOCK_ROWS, Moments, Sample, from_text, part, summary, to_text

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

S3_SCHEME: Final = "s3://"
FOLDER: Final = "results"
FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which job this is and which part of its sample it makes: number `index` of `size`; outside an array all of it."""

    job_id: str
    index: int | None
    size: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Read what AWS Batch says; a program that it did not start is the job "local".

        Raises
        ------
        ValueError
            An index without a size, or out of its range.
        """
        # A node's id ends in #N, an array child's in :K.
        job_id = environ.get(BatchVariable.JOB_ID, "local").partition("#")[0].partition(":")[0]
        index, size = environ.get(BatchVariable.ARRAY_INDEX), environ.get(BatchVariable.ARRAY_SIZE)
        if index is None:
            return cls(job_id=job_id, index=None, size=1)
        if size is None or not index.isdecimal() or not size.isdecimal() or int(index) >= int(size):
            raise ValueError(
                f"{BatchVariable.ARRAY_INDEX} is {index!r} and {BatchVariable.ARRAY_SIZE} {size!r}: "
                "needed are a size and an index from 0 to below it"
            )
        return cls(job_id=job_id, index=int(index), size=int(size))

    def blocks(self, sample: Sample) -> range:
        return part(range(sample.blocks), self.index or 0, self.size)

    @property
    def file_name(self) -> str:
        return f"{self.job_id}.json" if self.index is None else f"{self.job_id}-{self.index}.json"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The moments of one share of a sample."""

    sample: Sample
    share: Share
    moments: Moments

    def to_json(self) -> dict[str, Any]:
        """Statistics for people, and the exact sums from which shares are merged."""
        return {
            "format": FORMAT,
            "job_id": self.share.job_id,
            "index": self.share.index,
            "array_size": None if self.share.index is None else self.share.size,
            "iterations": self.moments.count,
            "of_iterations": self.sample.iterations,
            "columns": self.sample.columns,
            "seed": self.sample.seed,
            "block_rows": BLOCK_ROWS,
            **summary(self.moments),
            "exact": {
                "sum": [to_text(value) for value in self.moments.sums],
                "sum_of_squares": [to_text(value) for value in self.moments.squares],
            },
        }

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what `to_json` made.

        Raises
        ------
        ValueError
            Another format, or something missing.
        """
        if not isinstance(data, dict):
            raise ValueError("this is no result of montecarlo")  # noqa: TRY004  one kind of error for all that is wrong
        if data.get("format") != FORMAT or data.get("block_rows") != BLOCK_ROWS:
            raise ValueError(f"format {data.get('format')!r}; this program reads {FORMAT}, blocks of {BLOCK_ROWS} rows")
        try:
            moments = Moments.none(data["columns"])
            if data["iterations"]:
                moments = Moments(
                    count=data["iterations"],
                    sums=tuple(map(from_text, data["exact"]["sum"])),
                    squares=tuple(map(from_text, data["exact"]["sum_of_squares"])),
                    least=tuple(data["min"]),
                    greatest=tuple(data["max"]),
                )
            return cls(
                sample=Sample(iterations=data["of_iterations"], columns=data["columns"], seed=data["seed"]),
                share=Share(job_id=data["job_id"], index=data["index"], size=data["array_size"] or 1),
                moments=moments,
            )
        except KeyError as error:
            raise ValueError(f"{error} is missing: this is no result of montecarlo") from error


def merge(results: Sequence[Result]) -> Result:
    """All shares of one array job as the result that one job would have had, bit for bit.

    Raises
    ------
    ValueError
        Shares of different jobs or samples, shares that are missing, or twice, or of another size than they must have.
    """
    if not results:
        raise ValueError("no results to merge")
    kinds = {(one.sample, one.share.job_id, one.share.size, one.share.index is None) for one in results}
    if len(kinds) > 1:
        raise ValueError(f"results of {len(kinds)} different jobs or samples: only the shares of one can be merged")
    first = results[0]
    if first.share.index is None and len(results) == 1:
        return first
    found = sorted(one.share.index or 0 for one in results)
    missing = sorted(set(range(first.share.size)) - set(found))
    twice = sorted({index for index in found if found.count(index) > 1}) if len(set(found)) < len(found) else []
    problems = [f"share {_listed(missing)} of {first.share.size} missing"] if missing else []
    problems += [f"share {_listed(twice)} there more than once"] if twice else []
    for one in results:
        blocks = one.share.blocks(one.sample)
        rows = min(blocks.stop * BLOCK_ROWS, one.sample.iterations) - blocks.start * BLOCK_ROWS if blocks else 0
        if one.moments.count != rows:
            problems.append(f"share {one.share.index} has {one.moments.count} rows, not {rows}")
    if problems:
        raise ValueError("; ".join(problems))
    moments = sum((one.moments for one in results), start=Moments.none(first.sample.columns))
    return Result(sample=first.sample, share=Share(job_id=first.share.job_id, index=None, size=1), moments=moments)


def _listed(indices: Sequence[int]) -> str:
    return ", ".join(map(str, indices[:10])) + (f" and {len(indices) - 10} more" if len(indices) > 10 else "")


# ---------------------------------------------------------------- where results are


def _client() -> "S3Client":
    # Only where a result goes to S3 or comes from there: the import takes half a second.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    return boto3.client("s3", config=Config(retries={"mode": "standard", "max_attempts": 8}))


def write(result: Result, to: str) -> str:
    """Write `result` to a file, or under a folder (a path that ends in a slash) or `s3://BUCKET/PREFIX/`.

    Returns
    -------
    str
        Where it is: under a folder or prefix as `results/<job id>[-<index>].json`.
    """
    text = json.dumps(result.to_json(), indent=1) + "\n"
    if to.startswith(S3_SCHEME):
        bucket, _, prefix = to.removeprefix(S3_SCHEME).partition("/")
        key = f"{prefix.rstrip('/')}/" * bool(prefix.strip("/")) + f"{FOLDER}/{result.share.file_name}"
        client = _client()
        client.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="application/json")
        client.close()
        return f"{S3_SCHEME}{bucket}/{key}"
    path = data_path(to, os.environ)
    if to.endswith("/") or path.is_dir():
        path = path / FOLDER / result.share.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    half_made = path.with_name(f".{path.name}.part")
    half_made.write_text(text, encoding="utf-8")
    half_made.replace(path)
    return str(path)


def read(source: str) -> list[Result]:
    """All results in a file, in a folder, or below `s3://BUCKET/PREFIX/`.

    Raises
    ------
    ValueError
        Nothing is there, or something that is no result.
    """
    found = []
    for name, text in _texts(source):
        try:
            found.append(Result.from_json(json.loads(text)))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if not found:
        raise ValueError(f"{source}: no results (*.json) are there")
    return found


def _texts(source: str) -> Iterator[tuple[str, str]]:
    if not source.startswith(S3_SCHEME):
        path = data_path(source, os.environ)
        for one in sorted(path.glob("*.json")) if path.is_dir() else [path]:
            yield str(one), one.read_text(encoding="utf-8")
        return
    bucket, _, prefix = source.removeprefix(S3_SCHEME).partition("/")
    client = _client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            if item["Key"].endswith(".json"):
                text = client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode()
                yield f"{S3_SCHEME}{bucket}/{item['Key']}", text
    client.close()
