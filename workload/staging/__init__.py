"""Staging: S3 <-> a node's scratch or the shared folder. Standard library; boto3 only where S3 is spoken to.

`stage_to_node` and `upload_outputs` are called on every node, `stage_to_shared` on main alone. All are synchronous, try
again what may succeed, check every byte that they can, and raise `StagingError` (exit code 212) with every reason.
"""

from workload.staging.crew import Limits, Moved
from workload.staging.inputs import stage_to_node, stage_to_shared
from workload.staging.outputs import upload_outputs
from workload.staging.places import StagingError
from workload.staging.records import write_record
from workload.staging.s3 import connect

__all__ = [
    "Limits",
    "Moved",
    "StagingError",
    "connect",
    "stage_to_node",
    "stage_to_shared",
    "upload_outputs",
    "write_record",
]
