"""Nodes of the twin: processes with their own address, or with their own network, /dev/shm, host name and PIDs.

    with NodeHost(Isolation.NETNS, name="demo") as host:
        node = host.start(NodeSpec(key="j#0", argv=("hostname",), environment=dict(os.environ), folder="/tmp/x",
                                   log="/tmp/x.log", address="10.77.1.1", host_name="n0", hosts={"n1": "10.77.1.2"}))
        end = node.wait(10)

`netns` addresses are any of 10.77.0.0/16 but 10.77.0.1 (the bridge); `process` nodes take any of 127.0.0.0/8.
"""

from tutti.twin.nodes.client import NodeHost, NodeHostError, RunningNode
from tutti.twin.nodes.spec import Drill, Isolation, NodeEnd, Nodes, NodeSpec

__all__ = ["Drill", "Isolation", "NodeEnd", "NodeHost", "NodeHostError", "NodeSpec", "Nodes", "RunningNode"]
