"""Tutti's stack: a research group's MPI platform on AWS Batch, or the network and images that groups share.

`pulumi up` runs this: the configuration is read and checked whole, then components are made in order, then outputs
are exported. What each configuration key means stands in Pulumi.yaml, how to work with it in docs/operate.md.
"""

from __future__ import annotations

from pathlib import Path

import pulumi

from infra.config import load
from infra.facts import AwsFacts
from infra.group import deploy

facts = AwsFacts()
config = load(facts, pulumi.get_stack())
for name, value in deploy(config, facts, Path(__file__).resolve().parent).items():
    pulumi.export(name, value)
