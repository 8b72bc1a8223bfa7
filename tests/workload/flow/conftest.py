"""What the tests of the flow share."""

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI

from workload.kernels.flow import startup
from workload.kernels.flow.case import Case

MakeFlow = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def compiled() -> startup.Target:
    """Compiled code is kept between runs, and for another processor or other sources made anew."""
    return startup.prepare(os.environ)


@pytest.fixture(scope="session")
def make_flow(compiled: startup.Target) -> MakeFlow:
    """`make_flow(case, dtype="float64")`: a flow on one rank, in this process."""
    from workload.kernels.flow.cpu import Cpu
    from workload.kernels.flow.solver import Flow

    def make(case: Case, *, dtype: str = "float64", kernel: Any = Cpu) -> Any:
        return Flow(case, MPI.COMM_SELF, dtype=np.dtype(dtype), kernel=kernel)

    return make


@pytest.fixture(scope="session")
def rough_cases() -> list[Case]:
    """Small cases with everything in them."""
    found: list[Case] = runpy.run_path(str(Path(__file__).with_name("rough_cases.py")))["rough_cases"]()
    return found
