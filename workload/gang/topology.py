"""Which cores and GPUs of this machine lie together: sysfs and procfs -> the places of a node's ranks."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from workload.gang.places import Layout, Place, places
from workload.node import Node, parse_cpus

SYSFS_NODES: Final = Path("/sys/devices/system/node")
NVIDIA_GPUS: Final = Path("/proc/driver/nvidia/gpus")  # a folder a GPU, named by its PCI address
PCI_DEVICES: Final = Path("/sys/bus/pci/devices")


def places_of(node: Node, layout: Layout) -> tuple[Place, ...]:
    """The places of the ranks on this `node`."""
    return places(
        layout, node.cores, bind=node.bind, gpus=node.gpus, numa_of_cpu=numa_of_cpu(), numa_of_gpu=numa_of_gpu()
    )


def numa_of_cpu(folder: Path = SYSFS_NODES) -> dict[int, int]:
    """Each CPU's NUMA node; empty where the kernel does not say."""
    found: dict[int, int] = {}
    for path in sorted(folder.glob("node[0-9]*/cpulist")):
        with contextlib.suppress(OSError, ValueError):  # a node of memory alone has an empty list
            number = int(path.parent.name.removeprefix("node"))
            found |= dict.fromkeys(parse_cpus(path.read_text(encoding="ascii")), number)
    return found


def numa_of_gpu(gpus: Path = NVIDIA_GPUS, devices: Path = PCI_DEVICES) -> dict[int, int]:
    """Each GPU's NUMA node, GPUs numbered in PCI order; empty where there are none."""
    found: dict[int, int] = {}
    for number, path in enumerate(sorted(gpus.glob("*"))):
        with contextlib.suppress(OSError, ValueError):
            numa = int((devices / path.name.lower() / "numa_node").read_text(encoding="ascii"))
            found[number] = max(numa, 0)  # -1: the machine has one
    return found
