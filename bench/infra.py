"""The Pulumi program of `dev` under mocks: how long it takes, how much memory, and what its resources cost idle.

Each run is a process of its own, imports included; medians of five. Last line: one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNS = 5
REGION = "us-west-2"
# Lookups, as AWS answers for the types of the default pools.
TYPE = {
    "defaultVcpus": 8,
    "defaultCores": 4,
    "memorySize": 16384,
    "supportedArchitectures": ["x86_64"],
    "gpuses": [],
    "totalInstanceStorage": 0,
    "enaSupport": "required",
    "supportedPlacementStrategies": ["cluster"],
    "efaSupported": False,
    "maximumNetworkCards": 1,
    "maximumNetworkInterfaces": 4,
}
ANSWERS: dict[str, dict[str, Any]] = {
    "getInstanceType": TYPE,
    "getRegion": {"region": REGION},
    "getCallerIdentity": {"accountId": "123456789012"},
    "getPartition": {"partition": "aws"},
    "getAvailabilityZones": {"names": [f"{REGION}a", f"{REGION}b"]},
    "getAuthorizationToken": {"userName": "AWS", "password": "x"},
}


def configuration() -> dict[str, str]:
    """What the engine hands to the program: the schema's defaults, then the stack's values."""
    import yaml

    values: dict[str, Any] = {}
    for key, entry in yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"].items():
        values[key if ":" in key else f"tutti:{key}"] = entry["value"] if "value" in entry else entry["default"]
    values |= yaml.safe_load((ROOT / "Pulumi.dev.yaml").read_text())["config"]
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}


def run_once() -> None:
    """Run the program; print seconds since the process began, peak memory, and the resources."""
    import pulumi
    from pulumi.runtime import mocks

    made: list[tuple[str, dict[str, Any]]] = []

    class Answers(mocks.Mocks):
        def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
            if args.typ.startswith(("aws:", "docker:")):
                made.append((args.typ, args.inputs))
            arn = {"arn": f"arn:aws:x:{REGION}:123456789012:{args.name}", "name": args.name, "bucket": args.name}
            more = {"latestVersion": 1, "repositoryUrl": "registry.example/x", "repoDigest": "x@sha256:0"}
            return f"{args.name}-id", {**arn, **more, **args.inputs}

        def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
            return {**args.args, **ANSWERS[args.token.rsplit(":", 1)[1]]}, []

    mocks.set_mocks(Answers(), project="tutti", stack="dev", preview=False)
    pulumi.runtime.set_all_config(configuration())

    @pulumi.runtime.test  # type: ignore[untyped-decorator]  # Pulumi's mocks are untyped
    def program() -> None:
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    program()
    began = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19]
    seconds = float(Path("/proc/uptime").read_text().split()[0]) - int(began) / 100
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # str: an archive of code is no JSON, and costs nothing by what is in it
    print(json.dumps({"seconds": seconds, "mb": peak, "resources": made}, default=str), flush=True)


def main() -> None:
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:] == ["--once"]:
        run_once()
        return
    from infra import costs

    runs = []
    # With compiled modules, as pip leaves them: the first run writes what is missing, and is not counted.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(RUNS + 1):
        command = [sys.executable, "-W", "ignore", __file__, "--once"]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    runs = runs[1:]
    resources = [(kind, inputs) for kind, inputs in runs[-1]["resources"]]
    items = costs.idle(resources)
    print(f"{len(resources)} resources of {len(Counter(kind for kind, _ in resources))} kinds")
    print(f"idle, USD a month ({costs.REGION}, {costs.DATE}):")
    for item in items:
        print(f"  {item.what:16} {item.count:4g} {item.usd:8.2f}")
    result = {
        "seconds": round(statistics.median(run["seconds"] for run in runs), 2),
        "mb": round(statistics.median(run["mb"] for run in runs)),
        "resources": len(resources),
        "idle_usd_month": costs.total(items),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
