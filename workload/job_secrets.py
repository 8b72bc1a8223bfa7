"""The values of a job's `--secret NAME=ARN`, fetched by the node with the job role."""

from __future__ import annotations

from collections.abc import Mapping


class SecretError(RuntimeError):
    """Secrets that this node cannot have, all of them."""


def fetch(wanted: Mapping[str, str]) -> dict[str, str]:
    """Variable -> value, for `wanted`: variable -> ARN in Secrets Manager.

    Raises
    ------
    SecretError
        One or more cannot be read; their values are never told.

    """
    # Here, not at the top: boto3 takes half a second, and few jobs have a secret.
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    client = boto3.client("secretsmanager")
    values: dict[str, str] = {}
    problems = []
    for name, arn in sorted(wanted.items()):
        try:
            values[name] = client.get_secret_value(SecretId=arn)["SecretString"]
        except (BotoCoreError, ClientError) as error:
            problems.append(f"{name}: cannot read {arn}: {error}")
        except KeyError:
            problems.append(f"{name}: {arn} holds bytes; allowed: a text")
    if problems:
        raise SecretError("secrets: " + "; ".join(problems))
    return values
