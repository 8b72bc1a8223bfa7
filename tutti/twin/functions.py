"""Functions as Lambda runs them, in a child process by their handler's dotted name: moto keeps them, this calls them.

The child has the function's own code first on its path, then what the twin can import; the function's variables, the
twin's endpoint and keys, and nothing else of the desk's environment. What it prints goes to its log group.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tutti.twin.api.errors import ApiError
from tutti.twin.environment import INHERITED
from tutti.twin.front import Answer, Call
from tutti.twin.logstore import LogStore
from tutti.twin.moto_app import Moto

# The answer goes to a file of its own: what the function prints is its log.
_CHILD: Final = """
import importlib, json, sys, types
module, _, name = sys.argv[1].rpartition(".")
context = types.SimpleNamespace(function_name=sys.argv[2], aws_request_id=sys.argv[3])
answer = getattr(importlib.import_module(module.replace("/", ".")), name)(json.load(sys.stdin), context)
with open(sys.argv[4], "w") as out:
    json.dump(answer, out)
"""
# A minute before the second try, two before the third (Lambda Developer Guide, error handling of asynchronous calls).
AGAIN_S: Final = (60.0, 120.0)
_INVOCATIONS: Final = "/invocations"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a call ended: what the function returned, as JSON, or the words of its error."""

    answer: str
    error: bool = False


class Functions:
    def __init__(
        self,
        moto: Moto,
        logs: LogStore,
        environment: Callable[[], Mapping[str, str]],
        *,
        account: str,
        region: str,
        again_s: Sequence[float] = AGAIN_S,
    ) -> None:
        """`environment`: endpoint, region and keys, as a function finds them. `again_s`: pauses between tries."""
        self._moto = moto
        self._logs = logs
        self._environment = environment
        self._account = account
        self._region = region
        self._again_s = again_s

    def answer(self, call: Call) -> Answer | None:
        """Invoke, of Lambda's API; None for every other call."""
        if call.method != "POST" or not call.path.endswith(_INVOCATIONS):
            return None
        name, event = call.path.split("/")[3].rpartition(":")[2], call.body.decode() or "{}"
        try:
            if call.headers.get("x-amz-invocation-type", "").lower() == "event":
                self.start(name, event)
                return Answer(status=202)
            ended = self.run(name, event)
        except LookupError as error:
            raise ApiError(str(error), code="ResourceNotFoundException", status=404) from error
        failed = {"X-Amz-Function-Error": "Unhandled"} if ended.error else {}
        return Answer(status=200, body=ended.answer.encode(), headers={"X-Amz-Executed-Version": "$LATEST", **failed})

    def start(self, name: str, event: str) -> None:
        """Call a function and do not wait. Where it fails it is called twice more, as Lambda does.

        Raises
        ------
        LookupError
            There is none of that name.

        """
        self._find(name)
        threading.Thread(target=self._run_until_good, args=(name, event), name=f"function-{name}", daemon=True).start()

    def run(self, name: str, event: str) -> Ended:
        """Call a function and wait for its end, its timeout at the latest.

        Raises
        ------
        LookupError
            There is none of that name.

        """
        function = self._find(name)
        request = str(uuid.uuid4())
        with tempfile.TemporaryDirectory(prefix="tutti-function-") as folder:
            if getattr(function, "code_bytes", b""):
                with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as code:
                    code.extractall(folder)
            ended, said = self._call(function, event, folder, request)
        lines = [f"START RequestId: {request}", *said.splitlines(), f"END RequestId: {request}"]
        now = int(time.time() * 1000)
        self._logs.append(f"/aws/lambda/{name}", request, [(now, line) for line in lines])
        return ended

    def _run_until_good(self, name: str, event: str) -> None:
        for pause in (*self._again_s, 0.0):
            if not self.run(name, event).error:
                return
            time.sleep(pause)

    def _find(self, name: str) -> Any:
        self._moto.ready()
        from moto.awslambda.models import lambda_backends  # noqa: PLC0415  moto is loaded late on purpose

        try:
            return lambda_backends[self._account][self._region].get_function(name)
        except Exception as error:
            raise LookupError(f"there is no function {name}") from error

    def _call(self, function: Any, event: str, folder: str, request: str) -> tuple[Ended, str]:
        answer = Path(folder) / ".answer"
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, function.handler, function.function_name, request, str(answer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=self._variables(function, folder),
            start_new_session=True,
        )
        try:
            said, _ = child.communicate(event.encode(), timeout=function.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            said, _ = child.communicate()
            said += f"\nTask timed out after {function.timeout} seconds".encode()
        words = said.decode(errors="replace")
        if child.returncode == 0:
            return Ended(answer=answer.read_text(encoding="utf-8")), words
        last = words.strip().rpartition("\n")[2] or f"the function ended with {child.returncode}"
        return Ended(answer=json.dumps({"errorMessage": last}), error=True), words

    def _variables(self, function: Any, folder: str) -> dict[str, str]:
        path = os.pathsep.join([folder, *(entry for entry in sys.path if entry)])
        return {
            **{name: os.environ[name] for name in ("PATH", *INHERITED) if name in os.environ},
            **function.environment_vars,
            **self._environment(),
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",  # what it printed stands before its error
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
        }
