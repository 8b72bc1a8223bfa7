"""EventBridge Scheduler on HTTP: schedules and their groups. Who acts on them is the agenda's thread."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from tutti.twin.agenda import NEXT, Agenda
from tutti.twin.api import model
from tutti.twin.api.errors import ApiError
from tutti.twin.api.paging import paged, start_of
from tutti.twin.registry import Place
from tutti.twin.targets import KINDS

SUBMIT: Final = "arn:aws:scheduler:::aws-sdk:batch:submitJob"
_PAGE: Final = 100
_DEFAULTS: Final[Mapping[str, Any]] = {
    "ScheduleExpressionTimezone": "UTC",
    "State": "ENABLED",
    "ActionAfterCompletion": "NONE",
}


class Scheduler:
    """Operations by method and path. `groups`: those that there are, beside `default`."""

    def __init__(self, agenda: Agenda, place: Place, groups: tuple[str, ...]) -> None:
        self._agenda = agenda
        self._place = place
        self._groups = ("default", *groups)

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> dict[str, Any]:
        """The response to one request.

        Raises
        ------
        ApiError
            What the service would refuse.

        """
        kind, _, name = path.strip("/").partition("/")
        handlers: dict[tuple[str, str, bool], Callable[[], dict[str, Any]]] = {
            ("POST", "schedules", True): lambda: self._create(name, json.loads(body)),
            ("PUT", "schedules", True): lambda: self._update(name, json.loads(body)),
            ("GET", "schedules", True): lambda: _shown(self._known(name, query)),
            ("DELETE", "schedules", True): lambda: self._delete(name, query),
            ("GET", "schedules", False): lambda: self._list(query),
            ("GET", "schedule-groups", True): lambda: self._group(unquote(name)),
            ("GET", "schedule-groups", False): lambda: {"ScheduleGroups": [self._group(g) for g in self._groups]},
        }
        handler = handlers.get((method, kind, bool(name)))
        if handler is None:
            message = f"the twin does not do {method} {path} of EventBridge Scheduler"
            raise ApiError(message, code="NotImplementedException", status=501)
        return handler()

    def _create(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        model.check("scheduler", "CreateSchedule", {**request, "Name": name})
        arn = self._arn(request.get("GroupName"), name)
        if self._agenda.find(arn):
            raise ApiError(f"Schedule {name} already exists.", code="ConflictException", status=409)
        return self._keep(arn, name, request)

    def _update(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        model.check("scheduler", "UpdateSchedule", {**request, "Name": name})
        before = self._known(name, {"groupName": [request.get("GroupName") or "default"]})
        return self._keep(before["Arn"], name, request, created=before["CreationDate"])

    def _keep(self, arn: str, name: str, request: dict[str, Any], *, created: float = 0) -> dict[str, Any]:
        _check_target(request["Target"])
        now = time.time()
        request.pop("ClientToken", None)
        own = {
            "Arn": arn,
            "Name": name,
            "GroupName": request.get("GroupName") or "default",
            "CreationDate": created or now,
            "LastModificationDate": now,
        }
        try:
            self._agenda.keep({**_DEFAULTS, **request, **own}, now)
        except ValueError as error:
            raise _invalid(f"Invalid Schedule Expression: {error}") from error
        return {"ScheduleArn": arn}

    def _delete(self, name: str, query: Mapping[str, list[str]]) -> dict[str, Any]:
        self._agenda.drop(self._known(name, query)["Arn"])
        return {}

    def _list(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        group, state = _first(query, "ScheduleGroup"), _first(query, "State")
        prefix = _first(query, "NamePrefix")
        found = [
            {
                **{k: d[k] for k in ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")},
                "Target": {"Arn": d["Target"]["Arn"]},
            }
            for d in self._agenda.all()
            if group in {"", d["GroupName"]} and state in {"", d["State"]} and d["Name"].startswith(prefix)
        ]
        page = int(_first(query, "MaxResults") or _PAGE)
        answer = paged("Schedules", found, start_of(_first(query, "NextToken") or None), page)
        return {"NextToken" if key == "nextToken" else key: value for key, value in answer.items()}

    def _known(self, name: str, query: Mapping[str, list[str]]) -> Mapping[str, Any]:
        found = self._agenda.find(self._arn(_first(query, "groupName"), unquote(name)))
        if found is None:
            raise _missing(f"Schedule {unquote(name)} does not exist.")
        return found

    def _arn(self, group: str | None, name: str) -> str:
        if (group or "default") not in self._groups:
            raise _missing(f"Schedule group {group} does not exist.")
        return f"arn:aws:scheduler:{self._place.region}:{self._place.account}:schedule/{group or 'default'}/{name}"

    def _group(self, name: str) -> dict[str, Any]:
        if name not in self._groups:
            raise _missing(f"Schedule group {name} does not exist.")
        arn = f"arn:aws:scheduler:{self._place.region}:{self._place.account}:schedule-group/{name}"
        return {"Arn": arn, "Name": name, "State": "ACTIVE"}


def submission(text: str) -> dict[str, Any]:
    """The SubmitJob request in the input of a universal target, which spells every name with a capital.

    Raises
    ------
    ApiError
        It is none.
    """
    try:
        given = json.loads(text)
    except ValueError:
        raise _invalid("Target.Input is not JSON") from None
    request: dict[str, Any] = model.from_capitals("batch", "SubmitJob", given)
    model.check("batch", "SubmitJob", request)
    return request


def _check_target(target: Mapping[str, Any]) -> None:
    arn = target["Arn"]
    if arn == SUBMIT:
        submission(target.get("Input", ""))
    elif arn.startswith("arn:aws:scheduler:::") or arn.split(":")[2] not in KINDS:
        kinds = ", ".join(KINDS)
        raise _invalid(f"{arn} is not supported as a target: the twin has {SUBMIT}, and ARNs of {kinds}")


def _shown(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != NEXT}


def _first(query: Mapping[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]


def _missing(message: str) -> ApiError:
    return ApiError(message, code="ResourceNotFoundException", status=404)


def _invalid(message: str) -> ApiError:
    return ApiError(message, code="ValidationException", status=400)
