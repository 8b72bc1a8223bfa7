"""Jobs over HTTP with boto3, on a twin whose nodes are plain processes: rows B4-B11 of DESIGN section 3."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

Desk = Any
RETRY_ALL = {"attempts": 2, "evaluateOnExit": []}


def environment(lines: list[str]) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_every_node_has_batchs_variables_and_children_alone_mains_address(desk: Desk) -> None:
    job = desk.gang("env", nodes=3, main_last=True)
    assert desk.until(job)["status"] == "SUCCEEDED"
    found = [environment(desk.log(f"{job}#{n}")) for n in range(3)]
    for n, variables in enumerate(found):
        assert variables["AWS_BATCH_JOB_ID"] == f"{job}#{n}"
        assert variables["AWS_BATCH_JOB_ATTEMPT"] == "1"
        assert variables["AWS_BATCH_JOB_NODE_INDEX"] == str(n)
        assert variables["AWS_BATCH_JOB_NUM_NODES"] == "3"
        assert variables["AWS_BATCH_JOB_MAIN_NODE_INDEX"] == "0"
        assert variables["AWS_BATCH_JQ_NAME"] == "twin-mpi-high"
        assert variables["AWS_BATCH_CE_NAME"] == "twin-mpi"
        assert "AWS_BATCH_JOB_NODE_LIST" not in variables
        assert "AWS_ACCESS_KEY_ID" not in variables
    key = "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"
    assert key not in found[0]
    assert found[1][key] == found[2][key] == found[0]["TUTTI_ADDRESS"]


def test_each_node_is_told_what_only_a_twin_must_say(desk: Desk) -> None:
    job = desk.gang("env; ls $TUTTI_SHARED; pwd", nodes=2, main_last=True)
    desk.until(job)
    one, two = (environment(desk.log(f"{job}#{n}")) for n in range(2))
    assert one["TUTTI_ADDRESS"].startswith("127.")
    assert one["TUTTI_ADDRESS"] != two["TUTTI_ADDRESS"]
    assert one["TMPDIR"] != two["TMPDIR"]
    assert one["TUTTI_SECRET"] == two["TUTTI_SECRET"] != ""
    assert one["TUTTI_SHARED_HOST"] == "1"
    assert one["TUTTI_NODE_SILENCE"] == "5"
    assert one["AWS_REGION"] == desk.card.region
    assert {"input", "output", "work"} <= set(desk.log(f"{job}#0"))
    assert desk.log(f"{job}#0")[-1] == one["TMPDIR"], "a node starts in its own scratch"


def test_nodes_are_listed_and_described_with_index_state_code_address_and_stream(desk: Desk) -> None:
    job = desk.gang("exit $((AWS_BATCH_JOB_NODE_INDEX * 3))", nodes=3, main_last=True)
    assert desk.until(job)["status"] == "SUCCEEDED"
    summaries = desk.batch.list_jobs(multiNodeJobId=job)["jobSummaryList"]
    assert [s["jobId"] for s in summaries] == [f"{job}#{n}" for n in range(3)]
    assert [s["nodeProperties"]["isMainNode"] for s in summaries] == [True, False, False]
    assert [s["container"]["exitCode"] for s in summaries] == [0, 3, 6]
    assert [s["status"] for s in summaries] == ["SUCCEEDED", "FAILED", "FAILED"]
    found = desk.describe(f"{job}#2")
    assert found["nodeDetails"] == {"nodeIndex": 2, "isMainNode": False}
    assert found["container"]["networkInterfaces"][0]["privateIpv4Address"].startswith("127.")
    assert found["attempts"][0]["container"]["logStreamName"] == found["container"]["logStreamName"]
    assert found["container"]["logStreamName"].startswith("mpi/default/")
    assert desk.describe(job)["nodeProperties"]["numNodes"] == 3
    assert desk.batch.describe_jobs(jobs=[f"{job}#3", f"{job}#x", "no-such-job"])["jobs"] == []


def test_main_decides_and_a_child_that_dies_changes_nothing(desk: Desk) -> None:
    job = desk.gang("if [ $AWS_BATCH_JOB_NODE_INDEX = 1 ]; then exit 9; fi; sleep 0.4; exit 5", nodes=3)
    found = desk.until(job)
    assert found["status"] == "FAILED"
    assert found["attempts"][0]["container"]["exitCode"] == 5
    assert desk.describe(f"{job}#1")["container"]["exitCode"] == 9


def test_children_are_stopped_when_main_ends(desk: Desk) -> None:
    script = "trap 'echo got SIGTERM; exit 3' TERM; if [ $AWS_BATCH_JOB_NODE_INDEX = 0 ]; then sleep 0.5; exit 0; fi; while :; do sleep 0.05; done"
    job = desk.gang(script, nodes=2)
    assert desk.until(job)["status"] == "SUCCEEDED"
    assert desk.log(f"{job}#1")[-1] == "got SIGTERM"


def test_a_main_failure_is_tried_again_on_fresh_nodes_with_the_next_attempts_number(desk: Desk) -> None:
    job = desk.gang('echo "attempt $AWS_BATCH_JOB_ATTEMPT"; [ $AWS_BATCH_JOB_ATTEMPT = 2 ]', retryStrategy=RETRY_ALL)
    found = desk.until(job)
    assert found["status"] == "SUCCEEDED"
    codes = [a["container"].get("exitCode") for a in found["attempts"]]
    assert codes == [1, 0]
    streams = {a["container"]["logStreamName"] for a in found["attempts"]}
    assert len(streams) == 2, "each attempt has a stream of its own"
    assert desk.log(f"{job}#0") == ["attempt 2"]


def test_the_definitions_own_rules_retry_221_and_nothing_of_the_users(desk: Desk) -> None:
    retried = desk.gang("[ $AWS_BATCH_JOB_ATTEMPT = 2 ] || exit 221")
    own = desk.gang("exit 3")
    assert len(desk.until(retried)["attempts"]) == 2
    assert len(desk.until(own)["attempts"]) == 1


def test_ref_is_replaced_in_the_command_and_never_in_the_environment(desk: Desk) -> None:
    container = {"command": ["sh", "-c", "echo Ref::word $X"], "environment": [{"name": "X", "value": "Ref::word"}]}
    needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    desk.batch.register_job_definition(
        jobDefinitionName="with-parameters",
        type="container",
        parameters={"word": "default"},
        containerProperties={"image": "x", "resourceRequirements": needs, **container},
    )
    ids = [
        desk.batch.submit_job(jobName="p", jobQueue="twin-single-high", jobDefinition="with-parameters", parameters=p)[
            "jobId"
        ]
        for p in ({}, {"word": "given"})
    ]
    for job in ids:
        desk.until(job)
    assert [desk.log(job) for job in ids] == [["default Ref::word"], ["given Ref::word"]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"jobName": "-x"}, "jobName"),
        ({"jobQueue": "nowhere"}, "not found"),
        ({"jobDefinition": "nothing"}, "not found"),
        ({"containerOverrides": {"command": ["x"]}}, "containerOverrides"),
        ({"arrayProperties": {"size": 3}}, "arrayProperties"),
        ({"nodeOverrides": {"numNodes": 0}}, "numNodes must be 1 to 1000"),
        ({"nodeOverrides": {"numNodes": 1001}}, "numNodes must be 1 to 1000"),
        (
            {"nodeOverrides": {"nodePropertyOverrides": [{"targetNodes": "0:0", "containerOverrides": {}}]}},
            "Non matching targets - 0:0",
        ),
        ({"timeout": {"attemptDurationSeconds": 59}}, "at least 60"),
        ({"retryStrategy": {"attempts": 11}}, "1 to 10"),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onReason": "*", "action": "EXIT"}] * 6}}, "at most 5"),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "x", "action": "EXIT"}]}}, "onExitCode"),
        ({"dependsOn": [{"jobId": "x"}] * 21}, "at most 20"),
        ({"dependsOn": [{"jobId": "no-such-job"}]}, "not found"),
        ({"tags": {f"t{n}": "v" for n in range(51)}}, "50 tags"),
        (
            {
                "nodeOverrides": {
                    "nodePropertyOverrides": [
                        {
                            "targetNodes": "0:",
                            "containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]},
                        }
                    ]
                }
            },
            "must not start with AWS_BATCH",
        ),
        (
            {
                "nodeOverrides": {
                    "nodePropertyOverrides": [
                        {
                            "targetNodes": "0:",
                            "containerOverrides": {"environment": [{"name": "X", "value": "x" * 31_000}]},
                        }
                    ]
                }
            },
            "larger than 30720 bytes",
        ),
    ],
)
def test_what_batch_refuses_is_refused_with_its_reason(desk: Desk, change: dict[str, Any], said: str) -> None:
    request = {"jobName": "x", "jobQueue": "twin-mpi-high", "jobDefinition": "twin-mpi", **change}
    with pytest.raises(ClientError, match="ClientException") as error:
        desk.batch.submit_job(**request)
    assert said in str(error.value)


def test_a_closed_range_cannot_be_resized(desk: Desk) -> None:
    container = {
        "image": "x",
        "command": ["true"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
    }
    properties = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": [{"targetNodes": "0:1", "container": container}]}
    desk.batch.register_job_definition(jobDefinitionName="closed", type="multinode", nodeProperties=properties)
    with pytest.raises(ClientError, match="open upper boundary"):
        desk.batch.submit_job(
            jobName="x", jobQueue="twin-mpi-high", jobDefinition="closed", nodeOverrides={"numNodes": 3}
        )


def test_an_arrays_children_know_their_index_and_the_size(desk: Desk) -> None:
    job = desk.single(
        "echo $AWS_BATCH_JOB_ARRAY_INDEX of $AWS_BATCH_JOB_ARRAY_SIZE $AWS_BATCH_JOB_ID", arrayProperties={"size": 3}
    )
    assert desk.until(job)["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 3
    for k in range(3):
        assert desk.log(f"{job}:{k}") == [f"{k} of 3 {job}:{k}"]
    listed = desk.batch.list_jobs(arrayJobId=job, jobStatus="SUCCEEDED")["jobSummaryList"]
    assert [s["arrayProperties"]["index"] for s in listed] == [0, 1, 2]


def test_a_dependent_waits_and_fails_with_what_it_depends_on(desk: Desk) -> None:
    first = desk.gang("sleep 0.3; exit 4")
    second = desk.single("true", dependsOn=[{"jobId": first}])
    assert desk.describe(second)["status"] == "PENDING"
    found = desk.until(second)
    assert (found["status"], found["statusReason"]) == ("FAILED", "Dependent Job failed")


def test_terminate_reaches_the_nodes_with_sigterm_and_is_never_retried(desk: Desk) -> None:
    job = desk.gang("trap 'echo got it; exit 0' TERM; echo up; while :; do sleep 0.05; done", retryStrategy=RETRY_ALL)
    for n in range(2):
        desk.until_log(f"{job}#{n}", "up")
    desk.batch.terminate_job(jobId=job, reason="wrong input")
    found = desk.until(job)
    assert (found["status"], found["statusReason"], found["isTerminated"]) == ("FAILED", "wrong input", True)
    assert len(found["attempts"]) == 1
    assert [desk.log(f"{job}#{n}")[-1] for n in range(2)] == ["got it", "got it"]


def test_jobs_in_bulk_are_terminated_and_unknown_ones_count_as_done(desk: Desk) -> None:
    jobs = [desk.single("sleep 1000") for _ in range(3)]
    answer = desk.batch.terminate_jobs(jobs=[*jobs, "unknown"], reason="enough")
    assert answer["errors"] == []
    assert {desk.until(job)["status"] for job in jobs} == {"FAILED"}


def test_lists_are_paged_by_a_thousand_and_filtered_by_a_hundred_newest_first(new_desk: Any) -> None:
    desk = new_desk()
    array = desk.single("true", arrayProperties={"size": 1200}, queue="twin-single-low", jobName="Many")
    desk.batch.terminate_job(jobId=array, reason="only to be listed")
    desk.until(array)
    done: list[Any] = []
    for status in ("FAILED", "SUCCEEDED"):
        first = desk.batch.list_jobs(arrayJobId=array, jobStatus=status)
        assert len(first["jobSummaryList"]) <= 1000
        done += first["jobSummaryList"]
        while token := first.get("nextToken"):
            first = desk.batch.list_jobs(arrayJobId=array, jobStatus=status, nextToken=token)
            done += first["jobSummaryList"]
    assert len({d["jobId"] for d in done}) == 1200
    names = [desk.single("true", jobName=f"Name-{n}", queue="twin-single-low") for n in range(3)]
    by_name = desk.batch.list_jobs(jobQueue="twin-single-low", filters=[{"name": "JOB_NAME", "values": ["name-*"]}])
    assert [s["jobId"] for s in by_name["jobSummaryList"]] == names[::-1]
    created = desk.describe(names[1])["createdAt"]
    after = desk.batch.list_jobs(
        jobQueue="twin-single-low", filters=[{"name": "AFTER_CREATED_AT", "values": [str(created - 1)]}]
    )
    assert {names[1], names[2]} <= {s["jobId"] for s in after["jobSummaryList"]}
    page = desk.batch.list_jobs(
        jobQueue="twin-single-low", filters=[{"name": "BEFORE_CREATED_AT", "values": ["9" * 15]}], maxResults=2
    )
    assert len(page["jobSummaryList"]) == 2
    assert "nextToken" in page


def test_a_hundred_ids_can_be_described_and_no_more(desk: Desk) -> None:
    assert desk.batch.describe_jobs(jobs=["x"] * 100)["jobs"] == []
    with pytest.raises(ClientError, match="at most 100"):
        desk.batch.describe_jobs(jobs=["x"] * 101)


def test_more_than_fifty_submissions_a_second_are_throttled(new_desk: Any) -> None:
    desk = new_desk()

    def submit(_: int) -> str:
        try:
            return str(desk.single("true"))
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, range(150)))
    admitted = sum(a != "TooManyRequestsException" for a in answers)
    assert 50 <= admitted <= 50 * (2 + time.monotonic() - begun)
    assert "TooManyRequestsException" in answers or time.monotonic() - begun > 2


def test_the_snapshot_of_a_queue_shows_who_comes_next(desk: Desk) -> None:
    running = desk.gang("sleep 1000", nodes=8, queue="twin-mpi2-high")
    waiting = [desk.gang("true", nodes=8, queue="twin-mpi2-high") for _ in range(2)]
    front = desk.batch.get_job_queue_snapshot(jobQueue="twin-mpi2-high")["frontOfQueue"]["jobs"]
    assert [j["jobArn"].rpartition("/")[2] for j in front] == waiting
    desk.batch.cancel_job(jobId=waiting[1], reason="no")
    assert desk.describe(waiting[1])["status"] == "FAILED"
    desk.batch.terminate_job(jobId=running, reason="done")
    assert desk.until(waiting[0])["status"] == "SUCCEEDED"


def test_tags_are_kept_listed_and_changed(desk: Desk) -> None:
    job = desk.single("true", tags={"a": "1", "b": "2"})
    arn = f"arn:aws:batch:{desk.card.region}:{desk.card.account}:job/{job}"
    desk.batch.tag_resource(resourceArn=arn, tags={"c": "3"})
    desk.batch.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert desk.batch.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2", "c": "3"}
    assert desk.describe(job)["tags"] == {"b": "2", "c": "3"}


def test_a_command_that_is_not_there_fails_the_job_with_its_name(desk: Desk) -> None:
    job = desk.batch.submit_job(
        jobName="x",
        jobQueue="twin-single-high",
        jobDefinition="twin-single",
        containerOverrides={"command": ["no-such-program"]},
    )["jobId"]
    found = desk.until(job)
    assert "no-such-program" in found["attempts"][0]["container"]["reason"]
    assert "exitCode" not in found["attempts"][0]["container"]


def test_out_of_memory_is_named_where_a_cgroup_can_be_had(desk: Desk) -> None:
    if desk.about["contained"] == "none":
        if os.environ.get("CI") == "true":
            pytest.fail("no control group can be had here")
        pytest.skip("no control group can be had here")
    job = desk.single("python3 -c 'b\"x\" * (1 << 30)'")
    container = desk.until(job)["attempts"][0]["container"]
    assert container["exitCode"] == 137
    assert container["reason"].startswith("OutOfMemoryError")


def test_what_boto3_gets_fits_the_service_model(desk: Desk) -> None:
    job = desk.gang("true", tags={"x": "y"}, dependsOn=[])
    found = desk.until(job)
    assert json.dumps(found, default=str)
    assert {"jobArn", "jobName", "jobQueue", "createdAt", "startedAt", "stoppedAt", "attempts", "retryStrategy"} <= set(
        found
    )
