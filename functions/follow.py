"""Submits what waits for the end of jobs (`tutti submit --after ID:any`).

It runs at the end of every job of the group, and every quarter of an hour for what a lost event or a run that died left
behind. SubmitJob has no token that makes a second call harmless, so each submission is claimed first, by a conditional
write; whoever finds a claim of one that died looks for its job, by tag, before it submits.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

from tutti.core.refusal import OVERTAKEN, final
from tutti.core.waiting import CLOCKS_S, ENDED, Done, Folder, Next, Waiting, capsule_key, key, owner
from workload.contract import Limits, Tag, Variable

if TYPE_CHECKING:
    from types_boto3_batch.client import BatchClient
    from types_boto3_s3.client import S3Client

AT_ONCE: Final = 50


def handler(event: Mapping[str, Any], _context: object) -> dict[str, str]:
    """The ids of the jobs that were submitted, by the name under which they waited.

    Raises
    ------
    RuntimeError
        Some could not be looked at now; Lambda calls again, and nothing of theirs is lost.
    """
    return Follower(bucket=os.environ[Variable.BUCKET], place=os.environ[Variable.WAITING]).run(heard(event))


def heard(event: Mapping[str, Any]) -> dict[str, str]:
    """The job whose end the event tells: DescribeJobs may not know it yet."""
    detail = event.get("detail") or {}
    return {detail["jobId"]: detail["status"]} if detail.get("status") in ENDED else {}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A waiting submission as it was read: it is changed only while it is still that."""

    key: str
    tag: str
    waiting: Waiting


@dataclass(frozen=True, kw_only=True)
class Follower:
    """What waits below `place` in a bucket, and who submits it."""

    bucket: str
    place: str

    @property
    def s3(self) -> S3Client:
        client: S3Client = _client("s3")
        return client

    @property
    def batch(self) -> BatchClient:
        client: BatchClient = _client("batch")
        return client

    @property
    def submitter(self) -> BatchClient:
        """Tries nothing twice: an answer that was lost must not become a second job."""
        client: BatchClient = _client("batch", tries=1)
        return client

    def run(self, told: Mapping[str, str]) -> dict[str, str]:
        """Submit all whose jobs have ended. `told`: ends that are known already.

        A few at a time, in another order each time: were there more than a run has time for, none would wait for ever.
        """
        keys = self._keys()
        random.shuffle(keys)
        done: dict[str, str] = {}
        troubles: list[str] = []
        for at in range(0, len(keys), AT_ONCE):
            found = list(self._read(keys[at : at + AT_ONCE]))
            states = {**self._states(sorted({job for f in found for job in f.waiting.after})), **told}
            for one in found:
                name = one.waiting.name
                try:
                    if job := self._follow(one, states):
                        done[name] = job
                except Exception as error:  # noqa: BLE001  none must keep the others waiting
                    troubles.append(f"{name}: {error}")
        if troubles:
            raise RuntimeError("; ".join(troubles))
        return done

    def _follow(self, found: Found, states: Mapping[str, str]) -> str:
        """Do what comes next; the job's id where one was submitted."""
        waiting, now = found.waiting, time.time()
        step = waiting.next(states, now)
        if step not in {Next.SUBMIT, Next.FIND} or not self._claim(found, now):
            return ""
        if self._is_there(key(self.place, Folder.SUBMITTED, waiting.user, waiting.name)):
            # Done already, and died before it was taken away; or the desk wrote it again, its first answer being lost.
            self.s3.delete_object(Bucket=self.bucket, Key=found.key)
            return ""
        job = self._job_of(waiting) if step is Next.FIND else ""
        return self._finish(found, job) if job else self._submit(found)

    def _claim(self, found: Found, now: float) -> bool:
        """Whether it is ours to submit: of several that try only one is told so."""
        text = replace(found.waiting, claimed=now).to_text()
        try:
            self.s3.put_object(Bucket=self.bucket, Key=found.key, Body=text.encode(), IfMatch=found.tag)
        except ClientError as error:
            if error.response["Error"]["Code"] in OVERTAKEN or not self._is_there(found.key):
                return False
            raise
        return True

    def _submit(self, found: Found) -> str:
        try:
            job = self.submitter.submit_job(**found.waiting.submission())["jobId"]
        except ParamValidationError as error:  # of a client that knows more than this function's boto3
            return self._refuse(found, str(error))
        except ClientError as error:
            if not _is_final(error):
                raise
            return self._refuse(found, error.response["Error"].get("Message") or str(error))
        return self._finish(found, job)

    def _job_of(self, waiting: Waiting) -> str:
        """The job that the run that claimed it submitted; "" where there is none."""
        since = (waiting.claimed or waiting.created) - CLOCKS_S
        pages = self.batch.get_paginator("list_jobs").paginate(
            jobQueue=waiting.request["jobQueue"],
            filters=[{"name": "JOB_NAME", "values": [waiting.request["jobName"]]}],
        )
        young = [
            job["jobId"] for page in pages for job in page["jobSummaryList"] if job.get("createdAt", 0) / 1000 >= since
        ]
        its_own = [job for job in self._described(young) if _is_of(job, waiting)]
        first: Mapping[str, Any] = min(
            its_own, key=lambda job: float(job["createdAt"]), default={}
        )  # a resubmission has the same tags
        return str(first.get("jobId", ""))

    def _finish(self, found: Found, job: str) -> str:
        """Leave the capsule and the trace. A run that dies in here is followed by one that does all of it again."""
        waiting, now = found.waiting, time.time()
        if (capsule := waiting.capsule_of(job, now)) is not None:
            try:
                self._put(capsule_key(waiting.runs, job), json.dumps(capsule, indent=1))
            except ClientError as error:  # the job is there, and that is what must be told
                print(f"{waiting.name}: {job} has no capsule: {error}")
        self._done(Done(**_of(waiting), at=now, id=job))
        return job

    def _refuse(self, found: Found, reason: str) -> str:
        self._done(Done(**_of(found.waiting), at=time.time(), reason=reason))
        return ""

    def _done(self, done: Done) -> None:
        print(f"{done.name}: {f'submitted as {done.id}' if done.id else f'refused: {done.reason}'}")
        self._put(key(self.place, done.folder, done.user, done.name), done.to_text())
        self.s3.delete_object(Bucket=self.bucket, Key=key(self.place, Folder.WAITING, done.user, done.name))

    def _put(self, name: str, text: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=name, Body=text.encode(), ContentType="application/json")

    def _keys(self) -> list[str]:
        prefix = f"{self.place}{Folder.WAITING}/"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def _read(self, keys: Sequence[str]) -> Iterator[Found]:
        for name in keys:
            if (whose := owner(self.place, Folder.WAITING, name)) is None:
                continue
            known = {"user": whose[0], "name": whose[1]}
            try:
                got = self.s3.get_object(Bucket=self.bucket, Key=name)
                waiting = Waiting.from_text(got["Body"].read().decode(), **known)
            except ClientError:
                if self._is_there(name):
                    raise
                continue  # another run has done it meanwhile
            except ValueError as error:
                reason = f"the group's stack cannot read it: {error}"
                self._done(Done(**known, job="", after=(), at=time.time(), reason=reason))
                continue
            yield Found(key=name, tag=got["ETag"], waiting=waiting)

    def _is_there(self, name: str) -> bool:
        """To who may list a prefix alone, S3 says of a key that is gone that it is not allowed: so it is listed."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=name, MaxKeys=1).get("Contents", [])
        return any(item["Key"] == name for item in listed)

    def _states(self, jobs: Sequence[str]) -> dict[str, str]:
        return {j["jobId"]: j["status"] for j in self._described(jobs)}

    def _described(self, jobs: Sequence[str]) -> Iterator[Any]:
        for at in range(0, len(jobs), Limits.DESCRIBE_IDS):
            yield from self.batch.describe_jobs(jobs=list(jobs[at : at + Limits.DESCRIBE_IDS]))["jobs"]


@cache
def _client(service: str, tries: int = 5) -> Any:
    """Made when first needed, and kept: Lambda calls the same process again."""
    config = Config(retries={"mode": "standard", "total_max_attempts": tries})
    return boto3.client(service, config=config)  # type: ignore[call-overload]  # its name is only known when it runs


def _of(waiting: Waiting) -> dict[str, Any]:
    return {"name": waiting.name, "user": waiting.user, "after": waiting.after, "job": waiting.request["jobName"]}


def _is_of(job: Mapping[str, Any], waiting: Waiting) -> bool:
    tags = job.get("tags", {})
    return (tags.get(Tag.WAITED.value), tags.get(Tag.USER.value)) == (waiting.name, waiting.user)


def _is_final(error: ClientError) -> bool:
    answer = error.response
    return final(answer["Error"].get("Code", ""), answer["ResponseMetadata"].get("HTTPStatusCode", 500))
