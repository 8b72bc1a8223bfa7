"""The twin is nobody's remote shell: who gets in, who does not, and what a node may do."""

import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

Desk = Any
SUBMIT = json.dumps({"jobName": "x", "jobQueue": "twin-mpi-high", "jobDefinition": "twin-mpi"}).encode()


def post(desk: Desk, path: str, headers: dict[str, str], body: bytes = SUBMIT, method: str = "POST") -> Any:
    where = urlsplit(desk.twin.endpoint)
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=20)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/submitjob", {"Content-Type": "text/plain", "Origin": "https://evil.example"}),
        ("/v1/submitjob", {"Content-Type": "application/json"}),
        (
            "/v1/submitjob",
            {
                "Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/batch/aws4_request, SignedHeaders=host, Signature=0"
            },
        ),
        ("/v1/submitjob", {"Authorization": "Bearer x"}),
        ("/tutti-twin/object", {}),
        ("/", {"X-Amz-Target": "Logs_20140328.GetLogEvents"}),
        ("/moto-api/reset", {}),
        ("/moto-api/config", {}),
        ("/tutti/admin/status", {}),
        ("/tutti/admin/down", {}),
        ("/tutti/credentials/job%230.1", {}),
        ("/latest/meta-data/iam/security-credentials/", {}),
    ],
)
def test_without_a_good_signature_nothing_is_answered_but_403(desk: Desk, path: str, headers: dict[str, str]) -> None:
    response = post(desk, path, headers)
    assert response.status == 403
    assert not [name for name, _ in response.getheaders() if name.lower().startswith("access-control")]


def test_a_browsers_preflight_gets_no_permission(desk: Desk) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = post(desk, "/v1/submitjob", headers, b"", "OPTIONS")
    assert response.status == 403
    assert response.getheader("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.77.0.1", "169.254.170.2", ""]
)
def test_a_foreign_host_is_refused_though_the_signature_is_good(desk: Desk, host: str) -> None:
    client = desk.client("batch")

    def rename(request: Any, **_: Any) -> None:
        request.headers["Host"] = host

    client.meta.events.register("before-sign.batch", rename)
    with pytest.raises(ClientError) as error:
        client.describe_job_queues()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize("service", ["batch", "s3", "sqs", "logs", "sts"])
def test_wrong_keys_open_nothing(desk: Desk, service: str) -> None:
    call = {
        "batch": "describe_job_queues",
        "s3": "list_buckets",
        "sqs": "list_queues",
        "logs": "describe_log_groups",
        "sts": "get_caller_identity",
    }[service]
    own = desk.twin.access_key_id
    for key, secret in (("AKIAIOSFODNN7EXAMPLE", desk.twin.secret_access_key), (own, "wrong")):
        client = desk.client(service, aws_access_key_id=key, aws_secret_access_key=secret)
        with pytest.raises(ClientError) as error:
            getattr(client, call)()
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_motos_own_controls_are_closed_to_good_keys_too(desk: Desk) -> None:
    client = desk.client("s3")
    client.meta.events.register(
        "before-sign.s3", lambda request, **_: setattr(request, "url", f"{desk.twin.endpoint}/moto-api/reset")
    )
    with pytest.raises(ClientError) as error:
        client.list_buckets()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_answers_of_moto_carry_no_cors_headers(desk: Desk) -> None:
    headers = desk.s3.list_buckets()["ResponseMetadata"]["HTTPHeaders"]
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_presigned_url_works_as_it_was_signed_and_no_other_way(desk: Desk) -> None:
    desk.s3.put_object(Bucket=desk.card.bucket, Key="signed/x y", Body=b"hello")
    signer = desk.client("s3", config=Config(signature_version="s3v4"))
    url = signer.generate_presigned_url(
        "get_object", Params={"Bucket": desk.card.bucket, "Key": "signed/x y"}, ExpiresIn=60
    )
    with urllib.request.urlopen(url) as answer:  # noqa: S310  the twin's own URL
        assert answer.read() == b"hello"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.replace("x%20y", "z"))  # noqa: S310  the twin's own URL


NODE = """
import boto3, os, json
from botocore.exceptions import ClientError
assert "AWS_ACCESS_KEY_ID" not in os.environ
index = os.environ["AWS_BATCH_JOB_NODE_INDEX"]
keys = boto3.Session().get_credentials().get_frozen_credentials()
boto3.client("s3").put_object(Bucket=os.environ["TUTTI_BUCKET"], Key=f"from/{index}", Body=index.encode())
print(json.dumps([keys.access_key, keys.secret_key, keys.token]))
for call in (boto3.client("batch").describe_job_queues, boto3.client("iam").list_users):
    try:
        call()
        print("allowed")
    except ClientError as error:
        print("refused", error.response["ResponseMetadata"]["HTTPStatusCode"])
"""


@pytest.mark.parametrize("isolation", ["process", pytest.param("netns", marks=pytest.mark.netns)])
def test_each_node_writes_with_keys_of_its_own_that_die_with_it(request: pytest.FixtureRequest, isolation: str) -> None:
    desk = request.getfixturevalue("desk" if isolation == "process" else "netns_desk")
    program = desk.about["shared"] + "/work/node.py"
    Path(program).write_text(NODE, encoding="utf-8")
    job = desk.gang(f"python {program}", nodes=3, main_last=True)
    assert desk.until(job)["status"] == "SUCCEEDED", desk.log(f"{job}#0")
    logs = [desk.log(f"{job}#{n}") for n in range(3)]
    assert [log[1:] for log in logs] == [["refused 403", "refused 403"]] * 3
    keys = [json.loads(log[0]) for log in logs]
    assert len({key for key, _, _ in keys}) == 3
    listed = desk.s3.list_objects_v2(Bucket=desk.card.bucket, Prefix="from/")["Contents"]
    assert [o["Key"] for o in listed] == [f"from/{n}" for n in range(3)]
    key, secret, token = keys[2]
    dead = boto3.client(
        "s3",
        endpoint_url=desk.twin.endpoint,
        region_name=desk.card.region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError) as error:
        dead.list_buckets()
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_the_card_and_the_database_are_readable_by_their_owner_alone(desk: Desk) -> None:
    for path in (desk.home.card("twin"), desk.home.twin / "twin.db"):
        assert path.stat().st_mode & 0o077 == 0


def test_the_gangs_secret_is_not_in_what_anyone_can_describe(desk: Desk) -> None:
    job = desk.gang("env")
    desk.until(job)
    secret = next(line.partition("=")[2] for line in desk.log(f"{job}#0") if line.startswith("TUTTI_SECRET="))
    assert len(secret) >= 30
    assert secret not in json.dumps(desk.describe(f"{job}#0"), default=str)
    assert secret not in json.dumps(desk.batch.describe_job_definitions(), default=str)
