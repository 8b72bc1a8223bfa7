"""What is refused before a run, and what is warned of."""

from collections.abc import Iterator
from typing import Final

from workload.kernels.flow.case import Case

LEAST_RELAXATION_TIME: Final = 0.5005  # below, rounding and any gradient make the collision unstable
LOW_RELAXATION_TIME: Final = 0.51
HIGH_MACH: Final = 0.15  # the error of the weakly compressible equations goes with its square: 2 %
MOST_MACH: Final = 0.5  # the equilibrium's expansion in the velocity holds no longer


def refusals(case: Case) -> Iterator[str]:
    """All reasons not to run."""
    tau = case.relaxation_time
    if tau < LEAST_RELAXATION_TIME:
        yield (
            f"relaxation time {tau:.6g} is too near 1/2 (least {LEAST_RELAXATION_TIME}): the viscosity "
            f"{case.viscosity:.3g} is too small for this grid; take more cells, a lower Reynolds number "
            "or a higher velocity"
        )
    if case.mach > MOST_MACH:
        yield (
            f"Mach number {case.mach:.3g} is above {MOST_MACH}: the method is for slow flow; take a velocity "
            f"of {HIGH_MACH / 3**0.5:.3f} or less"
        )
    if case.viscosity <= 0:
        yield f"viscosity {case.viscosity:.3g}: must be above 0"
    if case.magic is not None and case.magic <= 0:
        yield f"magic parameter {case.magic:.3g}: must be above 0"
    if case.obstacle is not None and case.obstacle.mask.all():
        yield "the obstacle fills the whole grid: no fluid is left"


def warnings(case: Case) -> Iterator[str]:
    """What may be wrong with the result."""
    tau = case.relaxation_time
    if LEAST_RELAXATION_TIME <= tau < LOW_RELAXATION_TIME:
        yield (
            f"relaxation time {tau:.6g} is near 1/2 (below {LOW_RELAXATION_TIME}): the run may diverge; "
            "more cells or a higher velocity raise it"
        )
    mach = case.mach
    if HIGH_MACH < mach <= MOST_MACH:
        yield (
            f"Mach number {mach:.3g} is above {HIGH_MACH}: expect errors of compressibility of some "
            f"{100 * mach**2:.0f} %; a velocity of {HIGH_MACH / 3**0.5:.3f} or less avoids them"
        )
