"""NumPy's file format, read and written by all ranks at once."""

import io
import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from mpi4py import MPI

from workload.kernels.matmul.gram import Matrix, Span

TAG_RELAY: Final = 21
RELAY_BYTES: Final = 64 << 20
"""Rows of a rank that cannot write the file itself go to rank 0 in messages of about this size."""
TYPES: Final = (np.dtype(np.float32), np.dtype(np.float64))


def open_matrix(path: Path) -> Matrix:
    """Memory-map the matrix in `path`: nothing is read yet.

    Raises
    ------
    ValueError
        Not an `.npy` file, cut short, not of two dimensions, or neither float32 nor float64 (of any byte order).
    OSError
        The file cannot be opened.
    """
    try:
        matrix: Matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a whole .npy file of numbers: {error}") from error
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.newbyteorder("=") not in TYPES:
        got = f"shape {matrix.shape}, {matrix.dtype}" if isinstance(matrix, np.ndarray) else "an .npz archive"
        raise ValueError(f"{path}: got {got}; needed: 2 dimensions of float32 or float64 (a.astype(float) makes them)")
    return matrix


def together(call: Callable[[], None], comm: MPI.Comm) -> None:
    """Run `call` on every rank, and raise on every rank what went wrong on any. Collective over `comm`.

    Raises
    ------
    RuntimeError
        With the text of each rank's error: a rank that raised alone would leave the others waiting.
    """
    problem = None
    try:
        call()
    except (OSError, ValueError) as error:
        problem = f"rank {comm.rank}: {error}"
    problems = [one for one in comm.allgather(problem) if one]
    if problems:
        more = f" (and {len(problems) - 3} more ranks)" if len(problems) > 3 else ""
        raise RuntimeError("; ".join(problems[:3]) + more)


def header(rows: int, columns: int, dtype: "np.dtype[Any]") -> bytes:
    """The start of an `.npy` file of that shape, in C order."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows, columns)}
    )
    return buffer.getvalue()


def write_rows(path: Path, block: Matrix, span: Span, rows: int, comm: MPI.Comm) -> int:
    """Write a matrix that is spread over ranks by rows to one `.npy` file. Collective over `comm`.

    Each rank that sees the file of rank 0 writes its rows itself, at their place. One that does not (a folder of its
    own node's) sends them to rank 0. The file has its name only when it is whole and on the disk.

    Parameters
    ----------
    path
        Where rank 0 sees the file to be.
    block
        This rank's rows, shape (len(span), columns), C-contiguous.

    Returns
    -------
    int
        How many ranks wrote by themselves.

    Raises
    ------
    RuntimeError
        On every rank, if any of them could not write.
    """
    head = header(rows, block.shape[1], block.dtype)
    # The name is rank 0's, the folder each rank's own: the same one may be mounted elsewhere on another node.
    half_made = path.with_name(comm.bcast(f".{path.name}.{uuid.uuid4().hex}.part"))
    writes = _agree_on_file(half_made, comm)
    try:
        together(lambda: _write_own(half_made, head, block, span) if writes else None, comm)
        _relay(half_made, head, block, span, writes=writes, comm=comm)
        together(lambda: _publish(half_made, path, head, rows, block) if comm.rank == 0 else None, comm)
    except Exception:
        if comm.rank == 0:
            with suppress(OSError):
                half_made.unlink()
        raise
    return int(comm.allreduce(int(writes)))


def _agree_on_file(half_made: Path, comm: MPI.Comm) -> bool:
    """Make the file on rank 0, and find out whether this rank sees the same one and may write to it.

    By its content: a file of that name elsewhere, or the same folder mounted under another path, would mislead.
    """
    token = uuid.uuid4().bytes

    def make() -> None:
        half_made.parent.mkdir(parents=True, exist_ok=True)
        with half_made.open("xb") as file:
            file.write(token)
            file.flush()
            os.fsync(file.fileno())

    together(lambda: make() if comm.rank == 0 else None, comm)
    expected = comm.bcast(token)
    try:
        with half_made.open("r+b") as file:
            return bool(file.read() == expected)
    except OSError:
        return False
    finally:
        comm.Barrier()  # nobody writes while another rank still looks for the token


def _write_own(half_made: Path, head: bytes, block: Matrix, span: Span) -> None:
    with half_made.open("r+b") as file:
        _write_at(file.fileno(), _bytes_of(block), len(head) + _offset(block, span.start))
        if span.start == 0:
            _write_at(file.fileno(), memoryview(head), 0)
        os.fsync(file.fileno())


def _offset(block: Matrix, row: int) -> int:
    return int(row * block.shape[1] * block.itemsize)


def _bytes_of(block: Matrix) -> memoryview:
    return np.ascontiguousarray(block).reshape(-1).view(np.uint8).data


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written


def _relay(half_made: Path, head: bytes, block: Matrix, span: Span, *, writes: bool, comm: MPI.Comm) -> None:
    """Bring the rows of ranks that do not see the file to rank 0, and write them there."""
    senders = [(rank, one) for rank, one in enumerate(comm.allgather(None if writes else span)) if one is not None]
    each = max(1, RELAY_BYTES // max(1, block.shape[1] * block.itemsize))

    def receive() -> None:
        with half_made.open("r+b") as file:
            for rank, theirs in senders:
                for start in range(theirs.start, theirs.stop, each):
                    buffer = np.empty((min(each, theirs.stop - start), block.shape[1]), dtype=block.dtype)
                    comm.Recv(buffer, source=rank, tag=TAG_RELAY)
                    _write_at(file.fileno(), _bytes_of(buffer), len(head) + _offset(block, start))
            os.fsync(file.fileno())

    if comm.rank == 0 and senders:
        # An error here must end the program (MPI_Abort): the senders wait in Send, where `together` cannot reach them.
        receive()
    elif not writes:
        for start in range(0, len(span), each):
            comm.Send(np.ascontiguousarray(block[start : start + each]), dest=0, tag=TAG_RELAY)


def _publish(half_made: Path, path: Path, head: bytes, rows: int, block: Matrix) -> None:
    size = half_made.stat().st_size
    wanted = len(head) + _offset(block, rows)
    if size != wanted:
        raise ValueError(f"{half_made}: {size} bytes are there, not {wanted}: not every rank's rows arrived")
    half_made.replace(path)
