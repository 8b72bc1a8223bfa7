"""Signatures made by botocore are good here, and no other."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from tutti.twin.admin_call import sign
from tutti.twin.credentials import KeyRing, Keys, new_keys
from tutti.twin.signature import Request, SignatureError, verify

KEYS = Keys(access_key_id="TUTTIKEY", secret_access_key="secret/with+signs")
HOST = "127.0.0.1:4577"
PATHS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs", "S")), max_size=20)


def find(key: str) -> Keys | None:
    return KEYS if key == KEYS.access_key_id else None


def signed(service: str, method: str, path: str, query: dict[str, str], body: bytes, keys: Keys = KEYS) -> Request:
    """A request as boto3 sends it."""
    raw = quote(path, safe="/-_.~")
    url = f"http://{HOST}{raw}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
    request = AWSRequest(method=method, url=url, data=body, headers={"Host": HOST, "X-Amz-Meta-a_b": " two  blanks "})
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    signer(credentials, service, "us-east-1").add_auth(request)
    headers = {name.lower(): str(value) for name, value in request.headers.items()}
    return Request(method=method, path=raw, query=url.partition("?")[2], headers=headers, body=body)


@given(
    service=st.sampled_from(["batch", "s3", "logs"]),
    method=st.sampled_from(["GET", "PUT", "POST"]),
    path=PATHS,
    query=st.dictionaries(
        st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=5), PATHS, max_size=3
    ),
    body=st.binary(max_size=40),
)
def test_what_botocore_signs_is_good_whatever_the_path_query_and_body(
    service: str, method: str, path: str, query: dict[str, str], body: bytes
) -> None:
    request = signed(service, method, "/" + path.lstrip("/"), query, body)
    assert verify(request, find, datetime.now(UTC)).service == service


@pytest.mark.parametrize("change", ["method", "path", "query", "body", "host", "date"])
def test_what_was_changed_after_signing_is_refused(change: str) -> None:
    good = signed("batch", "POST", "/v1/submitjob", {"a": "b"}, b"{}")
    headers = dict(good.headers)
    if change == "host":
        headers["host"] = "other"
    if change == "date":
        headers["x-amz-date"] = datetime.now(UTC).strftime("%Y%m%dT%H%M00Z")
    bad = Request(
        method="GET" if change == "method" else good.method,
        path="/v1/terminatejob" if change == "path" else good.path,
        query="a=c" if change == "query" else good.query,
        headers=headers,
        body=b"{ }" if change == "body" else good.body,
    )
    with pytest.raises(SignatureError):
        verify(bad, find, datetime.now(UTC))


def test_a_body_that_is_not_the_signed_one_is_refused_for_s3_too() -> None:
    good = signed("s3", "PUT", "/bucket/key", {}, b"data")
    bad = Request(method=good.method, path=good.path, query=good.query, headers=good.headers, body=b"other")
    with pytest.raises(SignatureError, match="body is not the one that was signed"):
        verify(bad, find, datetime.now(UTC))


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_request_of_another_time_is_refused(minutes: int) -> None:
    request = signed("batch", "POST", "/v1/listjobs", {}, b"{}")
    with pytest.raises(SignatureError, match="is the clock right"):
        verify(request, find, datetime.now(UTC) + timedelta(minutes=minutes))


def test_unsigned_and_half_signed_requests_are_refused() -> None:
    for headers in ({}, {"authorization": "AWS4-HMAC-SHA256 Credential=x"}, {"authorization": "AWS x:y"}):
        with pytest.raises(SignatureError):
            verify(Request(method="GET", path="/", query="", headers=headers, body=b""), find, datetime.now(UTC))


def test_a_presigned_url_is_good_until_it_expires() -> None:
    request = AWSRequest(method="GET", url=f"http://{HOST}/bucket/key%20x", headers={"Host": HOST})
    S3SigV4QueryAuth(Credentials(KEYS.access_key_id, KEYS.secret_access_key), "s3", "us-east-1", expires=60).add_auth(
        request
    )
    query = str(request.url).partition("?")[2]
    asked = Request(method="GET", path="/bucket/key%20x", query=query, headers={"host": HOST}, body=b"")
    assert verify(asked, find, datetime.now(UTC)).service == "s3"
    with pytest.raises(SignatureError):
        verify(asked, find, datetime.now(UTC) + timedelta(seconds=62))


def test_a_nodes_keys_need_its_token_and_die_with_it() -> None:
    ring = KeyRing(KEYS)
    token = ring.admit("job#0.1")
    assert ring.for_node("job#0.1", "wrong") is None
    assert ring.for_node("job#1.1", token) is None
    given_keys = ring.for_node("job#0.1", token)
    assert given_keys is not None
    node = ring.find(given_keys["AccessKeyId"])
    assert node is not None
    good = signed("s3", "GET", "/", {}, b"", node)
    assert verify(good, ring.find, datetime.now(UTC)).keys.node == "job#0.1"
    without = signed(
        "s3", "GET", "/", {}, b"", Keys(access_key_id=node.access_key_id, secret_access_key=node.secret_access_key)
    )
    with pytest.raises(SignatureError, match="session token"):
        verify(without, ring.find, datetime.now(UTC))
    ring.dismiss("job#0.1")
    with pytest.raises(SignatureError):
        verify(good, ring.find, datetime.now(UTC))


def test_the_desks_own_calls_are_signed_alike() -> None:
    now = datetime.now(UTC)
    headers = sign(KEYS, HOST, "/tutti/admin/drill", b"{}", now)
    request = Request(method="POST", path="/tutti/admin/drill", query="", headers=headers, body=b"{}")
    assert verify(request, find, now).service == "tutti"


def test_random_keys_look_like_no_real_ones() -> None:
    made = {new_keys().access_key_id for _ in range(100)}
    assert len(made) == 100
    assert all(not key.startswith(("AKIA", "ASIA")) for key in made)
