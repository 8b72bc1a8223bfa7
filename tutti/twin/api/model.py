"""Requests checked against the service's own API model, as botocore ships it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from tutti.twin.api.errors import ApiError

if TYPE_CHECKING:
    from botocore.model import ServiceModel


@cache
def _service(name: str) -> ServiceModel:
    from botocore.loaders import Loader  # noqa: PLC0415  0.2 s that the twin's start must not take
    from botocore.model import ServiceModel  # noqa: PLC0415

    return ServiceModel(Loader().load_service_model(name, "service-2"), name)


@cache
def operations(service: str) -> dict[tuple[str, str], str]:
    """(method, path) -> operation, of a service with REST paths."""
    model = _service(service)
    found = {}
    for name in model.operation_names:
        http = model.operation_model(name).http
        found[http["method"], http["requestUri"]] = name
    return found


def from_capitals(service: str, operation: str, parameters: Any) -> Any:
    """A request whose names begin with capitals, as universal targets take it, in the service's own spelling."""
    return _respelled(_service(service).operation_model(operation).input_shape, parameters)


def _respelled(shape: Any, value: Any) -> Any:
    match shape.type_name:
        case "structure" if isinstance(value, dict):
            names = {f"{name[0].upper()}{name[1:]}": name for name in shape.members}
            # a name that is not known stays, for the check to refuse
            return {
                names.get(key, key): _respelled(shape.members[names[key]], item) if key in names else item
                for key, item in value.items()
            }
        case "list" if isinstance(value, list):
            return [_respelled(shape.member, item) for item in value]
        case "map" if isinstance(value, dict):
            return {key: _respelled(shape.value, item) for key, item in value.items()}
    return value


def check(service: str, operation: str, parameters: dict[str, Any]) -> None:
    """Refuse what the model does not allow.

    Raises
    ------
    ApiError
        All that is wrong: fields that are missing, unknown, or of another type.

    """
    shape = _service(service).operation_model(operation).input_shape
    if shape is None:
        return
    from botocore.validate import ParamValidator  # noqa: PLC0415  with the models

    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise ApiError(f"Error executing request, Exception : {report.generate_report()}")
