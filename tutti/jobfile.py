"""Job files and flags -> `JobFile`: problems name the file and line, or the flag, all at once."""

from __future__ import annotations

import fnmatch
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, Field, ValidationError

from tutti import values
from tutti.errors import InputError, Problem, likely
from tutti.job import LIST, ClashError, Job, read

STREAM_END: Final = "<stream end>"  # PyYAML's word for a file that ends too early
# What a pattern never takes along: AWS Batch's and our own names, what describes the desk and not the work, and what is
# called like a secret (values of `env` are public to all who may look at jobs). Named whole, each of them goes.
AT_HOME: Final = (
    "AWS_*", "TUTTI_*", "PCLUSTER_*", "HOME", "USER", "LOGNAME", "PATH", "LD_LIBRARY_PATH", "PWD", "OLDPWD", "SHELL",
    "SHLVL", "_", "TERM", "TERMCAP", "LESS_TERMCAP_*", "DISPLAY", "HOSTNAME", "MAIL", "COLUMNS", "LINES", "VCPUS",
    "SSH_*", "XDG_*", "DBUS_*", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV*",
    "*TOKEN*", "*SECRET*", "*PASSW*", "*PASSPHRASE*", "*PASS", "*_PWD", "*CREDENTIAL*", "*_CREDS", "*KEY", "*_KEYS",
    "*_PAT", "*_AUTH", "*_AUTH_*", "*COOKIE*", "*WEBHOOK*", "*CONNECTION_STRING*", "*_DSN",
)  # fmt: skip
_SIGNED_IN: Final = re.compile(r"://[^/@\s]*:[^/@\s]+@")  # an address with a password in it, such as a proxy's


class JobFile(Job):
    """A `Job` and how `tutti submit` answers: the keys of a job file, the flags of the command."""

    wait: Annotated[bool, *read(values.boolean, {"type": "boolean"})] = Field(
        default=False, description="stay until the job ends, show its phases and output, end with its code"
    )
    json_: Annotated[bool, *read(values.boolean, {"type": "boolean"})] = Field(
        default=False, alias="json", description="answer in JSON"
    )
    dry_run: Annotated[bool, *read(values.boolean, {"type": "boolean"})] = Field(
        default=False, description="send nothing; show the API call, the queue and the most it can cost"
    )
    env_except: Annotated[tuple[str, ...], *read(values.listed, LIST)] = Field(
        default=(), description="with `env: *` or another pattern: names or patterns that stay at home"
    )

    def job(self) -> Job:
        """The job alone."""
        return Job(**{name: getattr(self, name) for name in Job.model_fields})


MAPS = frozenset({"env", "secret", "param", "label"})  # flags add to the file's; all other flags replace
Where = Mapping[str, str]


def text_of(path: Path | None) -> str:
    """The text of a file; of standard input where there is none.

    Raises
    ------
    InputError
        it is no text.
    """
    try:
        return sys.stdin.read() if path is None else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        what = f"is no text: byte {error.start} is no UTF-8"
        remedy = "A program stands behind --: tutti submit -- PROGRAM ..."
        raise InputError([Problem(where="stdin" if path is None else str(path), what=what, remedy=remedy)]) from error


def read_job(file: Path, flags: Mapping[str, Any]) -> tuple[JobFile, Where]:
    """The job of a file with the flags laid over it, and where each of its keys was said.

    Raises
    ------
    InputError
        every problem of both.
    """
    keys, where = load(text_of(file), str(file))
    merged, origins = overlay(keys, where, flags)
    return check(merged, origins), origins


def overlay(keys: Mapping[str, Any], where: Where, flags: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Flags over a file's keys: maps are joined, all else is replaced."""
    merged, origins = dict(keys), dict(where)
    problems = []
    for key, value in flags.items():
        flag = f"--{key.replace('_', '-')}"
        origins[key] = flag
        if key in MAPS and isinstance(merged.get(key), Mapping):
            wrong = [item for item in value if "=" not in item]
            problems += [Problem(where=flag, what=f"got {item!r}; allowed: NAME=VALUE") for item in wrong]
            added = dict(item.split("=", 1) for item in value if "=" in item)
            origins.update({f"{key}.{name}": flag for name in added})
            merged[key] = {**merged[key], **added}
        else:
            merged[key] = value
    if problems:
        raise InputError(problems)
    return merged, origins


def _not_set(name: str) -> str:
    if "*" in name:
        return f"no variable that is set here, and may travel, fits {name}"
    return f"{name} is not set here; set it, or give its value: {name}=VALUE"


def inherited(
    keys: Mapping[str, Any], where: Where, environ: Mapping[str, str], besides: Sequence[str] = ()
) -> dict[str, Any]:
    """The keys with the caller's values for variables that have none: `--env NAME`, or `env: {NAME: }` in a file.

    A NAME with a `*` is a pattern: all of the caller's variables that fit, but those of `besides` and AT_HOME, in
    capital letters or small, and those whose value is an address with a password in it.

    Raises
    ------
    InputError
        the caller has no such variable, or none that fits.
    """
    said = _spread(keys.get("env"), environ, besides)
    if isinstance(said, list | tuple):
        bare = [item for item in said if isinstance(item, str) and item and "=" not in item]
    else:
        bare = [name for name, value in said.items() if value is None] if isinstance(said, Mapping) else []
    place = where.get("env", "env")
    problems = [Problem(where=where.get(f"env.{n}", place), what=_not_set(n)) for n in bare if not environ.get(n)]
    if problems:
        raise InputError(problems)
    if isinstance(said, Mapping):
        return {**keys, "env": {**said, **{name: environ[name] for name in bare}}}
    return {**keys, "env": [f"{i}={environ[i]}" if i in bare else i for i in said]} if bare and said else dict(keys)


def _spread(said: Any, environ: Mapping[str, str], besides: Sequence[str]) -> Any:
    """The variables with a pattern replaced by those that fit it; one that fits none stays, to be told of."""
    if isinstance(said, Mapping):
        return {name: said.get(name) for item in said for name in _fitting(item, said[item] is None, environ, besides)}
    if isinstance(said, list | tuple):
        given = [str(item).partition("=")[0] for item in said if "=" in str(item)]
        out = (*besides, *given)
        return [name for item in said for name in _fitting(item, "=" not in str(item), environ, out)]
    return said


def _fitting(item: Any, bare: bool, environ: Mapping[str, str], besides: Sequence[str]) -> list[Any]:
    if not (bare and isinstance(item, str) and "*" in item):
        return [item]
    known = [n for n, value in environ.items() if value and n.isidentifier() and fnmatch.fnmatchcase(n, item)]
    return [n for n in known if not (_stays(n, environ[n]) or _fits(n, besides))] or [item]


def _stays(name: str, value: str) -> bool:
    return _fits(name.upper(), AT_HOME) or bool(_SIGNED_IN.search(value))


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def check(keys: Mapping[str, Any], where: Where) -> JobFile:
    """The job that `keys` say.

    Raises
    ------
    InputError
        each problem at the place that `where` gives for its key.
    """
    try:
        return JobFile.model_validate(dict(keys))
    except ValidationError as error:
        raise InputError(_all_problems(keys, where, error)) from error


def _all_problems(keys: Mapping[str, Any], where: Where, error: ValidationError) -> list[Problem]:
    """The problems of single keys, and those between the keys that are right by themselves."""
    problems = list(explained(error, where, JobFile))
    wrong = {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}
    if wrong:
        try:
            JobFile.model_validate({key: value for key, value in keys.items() if key not in wrong})
        except ValidationError as between:
            problems += explained(between, where, JobFile)
    return problems


def load(text: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """A job file's keys, and where each stands: `job.yaml:3: nodes`.

    Raises
    ------
    InputError
        not YAML, or no mapping, or a key twice.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        cut = "It ends in the middle: is all of it there?" if STREAM_END in str(error.problem) else ""
        raise InputError([Problem(where=f"{name}{line}", what=f"is not YAML: {error.problem}", remedy=cut)]) from error
    except yaml.reader.ReaderError as error:
        what = f"is not YAML: has {chr(error.character)!r}, which is no character of a text"
        raise InputError([Problem(where=name, what=what)]) from error
    if node is None:
        return {}, {}
    if not isinstance(node, yaml.MappingNode):
        what = "a job file is a mapping of keys, such as `nodes: 4`"
        raise InputError([Problem(where=f"{name}:{node.start_mark.line + 1}", what=what)])
    where = dict(_places(node, name, ""))
    loader = yaml.SafeLoader("")
    try:
        keys = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError([Problem(where=f"{name}{line}", what=str(error.problem))]) from error
    finally:
        loader.dispose()
    return {str(key): value for key, value in keys.items()}, where


def _places(node: yaml.MappingNode, name: str, parent: str) -> Iterator[tuple[str, str]]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        path, line = f"{parent}{key.value}", key.start_mark.line + 1
        if path in seen:
            what = f"stands here and in line {seen[path]}; keep one of them"
            raise InputError([Problem(where=f"{name}:{line}: {path}", what=what)])
        seen[path] = line
        yield path, f"{name}:{line}: {path}"
        if isinstance(value, yaml.MappingNode):
            yield from _places(value, name, f"{path}.")


def explained(error: ValidationError, where: Where, model: type[BaseModel]) -> Iterator[Problem]:
    """Pydantic's errors in our words."""
    known = [field.alias or name for name, field in model.model_fields.items()]
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        place = where.get(key) or where.get(key.split(".", maxsplit=1)[0]) or key
        cause = item.get("ctx", {}).get("error")
        if item["type"] == "extra_forbidden":
            hint = likely(key, known)
            yield Problem(where=place, what=f"unknown key {key!r}{hint}; allowed: {', '.join(known)}")
        elif isinstance(cause, ClashError):
            for clash, words in cause.clashes:
                head = clash.split(".", maxsplit=1)[0]
                yield Problem(where=where.get(clash) or where.get(head) or clash, what=words)
        elif isinstance(cause, ValueError):
            yield Problem(where=place, what=str(cause))
        else:
            yield Problem(where=place, what=f"{item['msg']}, got {item.get('input')!r}")
