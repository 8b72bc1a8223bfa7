"""lbmpy's lid-driven cavity: D3Q19, two relaxation times, generated C++ with OpenMP. Runs in lbmpy's own environment.

    python lbmpy_peer.py CELLS DTYPE THREADS

Says `ready` when the kernel is compiled and warm; then each line on stdin is a number of steps, answered with MLUPS.
"""

import sys
import time
from pathlib import Path

import numpy as np
from lbmpy import LBMConfig, LBMOptimisation, LBStencil, Method, Stencil
from lbmpy.scenarios import create_lid_driven_cavity
from pystencils import CreateKernelConfig, Target


def main(cells: int, dtype: str, threads: int) -> None:
    wide = "avx512f" in Path("/proc/cpuinfo").read_text()
    config = CreateKernelConfig(target=Target.X86_AVX512 if wide else Target.X86_AVX, default_dtype=np.dtype(dtype))
    config.cpu.openmp.enable = True
    config.cpu.openmp.num_threads = threads
    config.cpu.vectorize.enable = True
    config.cpu.vectorize.assume_inner_stride_one = True
    config.cpu.vectorize.use_nontemporal_stores = True
    method = LBMConfig(
        stencil=LBStencil(Stencil.D3Q19),
        method=Method.TRT,
        relaxation_rate=1.2,
        compressible=True,
        zero_centered=True,
    )
    # The fastest of the variants that were tried: common subexpressions across the kernel, one array a direction.
    optimisation = LBMOptimisation(field_layout="fzyx", cse_global=True)
    flow = create_lid_driven_cavity(
        domain_size=(cells,) * 3,
        lid_velocity=0.05,
        lbm_config=method,
        lbm_optimisation=optimisation,
        config=config,
    )
    flow.run(4)
    print("ready", flush=True)
    for line in sys.stdin:
        steps = int(line)
        began = time.perf_counter()
        flow.run(steps)
        print(cells**3 * steps / (time.perf_counter() - began) / 1e6, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
