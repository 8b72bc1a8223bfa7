"""Checkpoints of any MPI program: all that a program needs. What lies in a target: `workload.manifest`."""

from workload.checkpoint.blocks import Block
from workload.checkpoint.checkpoints import Checkpoints, Start
from workload.checkpoint.errors import CheckpointError, SaveError, StoppedError

__all__ = ["Block", "CheckpointError", "Checkpoints", "SaveError", "Start", "StoppedError"]
