"""Follower: the function has all that it imports, is called at every end, and nothing that waits is missed for good."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from infra.follower import CODE, HANDLER
from infra.policies import OBJECT_ACTIONS
from tests.infra.mocked_aws import ROOT
from tests.infra.test_monitoring import FAILED, changed, fits
from tests.infra.test_policies import ACCOUNT, ALICE, BOB, Group, allowed, submits
from tutti.core import waiting
from tutti.core.waiting import Folder
from workload.contents import RUNS


def test_the_package_holds_all_that_the_handler_imports(tmp_path: Path) -> None:
    """Beside it there is what Lambda's runtime brings: boto3. Nothing of this checkout is on the path."""
    for name in CODE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    module, _, function = HANDLER.rpartition(".")
    code = f"import sys; sys.path[:0] = {[str(tmp_path), sysconfig.get_path('purelib')]}; import {module}\n"
    code += f"assert callable({module}.{function}); print(*sorted(m.__file__ for n, m in sys.modules.items()"
    code += " if n.partition('.')[0] in ('tutti', 'workload', 'functions')), sep='\\n')"
    ran = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert {str(Path(line).relative_to(tmp_path)) for line in ran.stdout.split()} == set(CODE)


def test_every_end_of_a_job_of_the_group_calls_it_and_no_other_event(stack: Any) -> None:
    rule = stack().one("EventRule", "-after").json("eventPattern")
    assert fits(rule, FAILED)
    assert fits(rule, changed(status="SUCCEEDED", tags={}))
    others = {"status": "RUNNING"}, {"jobId": "1#0"}, {"jobId": "1:3"}, {"jobQueue": "arn:aws:batch:::job-queue/other"}
    assert not [detail for detail in others if fits(rule, changed(**detail))]


@pytest.mark.parametrize("what", ["-after", "-after-missed"])
def test_a_rule_calls_it_by_a_right_of_its_own(stack: Any, what: str) -> None:
    d = stack()
    rule, right = d.one("EventRule", what), d.one("lambda/permission:Permission", what)
    arn = d.one("EventTarget", what).inputs["arn"]
    assert arn.rpartition("/")[2].startswith("tutti-dev-after")
    assert right.inputs["principal"] == "events.amazonaws.com"
    assert right.inputs["sourceArn"].rpartition("/")[2] == f"{rule.name}-0000000"
    assert right.inputs["action"] == "lambda:InvokeFunction"


def test_what_was_missed_is_looked_for_without_an_event(stack: Any) -> None:
    assert stack().one("EventRule", "-after-missed").inputs["scheduleExpression"] == "rate(15 minutes)"


def test_who_has_claimed_is_dead_before_its_claim_ends_and_before_lambda_calls_again(stack: Any) -> None:
    """Else two runs would submit the same, or the second call would find the first one's claim still good."""
    timeout = stack().one("lambda/function:Function").inputs["timeout"]
    assert timeout < waiting.LEASE_S < 60


def test_it_is_told_where_to_look_and_the_card_says_the_same(stack: Any) -> None:
    d = stack()
    told = d.one("lambda/function:Function").inputs["environment"]["variables"]
    assert told == {"TUTTI_BUCKET": d.outputs["card"]["bucket"], "TUTTI_WAITING": d.outputs["card"]["waiting"]}
    assert d.outputs["card"]["waiting"] == "_after/dev/"


def test_what_became_of_it_goes_and_what_waits_stays(stack: Any) -> None:
    rules = stack().one("BucketLifecycleConfiguration").inputs["rules"]
    place = stack().outputs["card"]["waiting"]
    expiring = {r["filter"]["prefix"] for r in rules if "expiration" in r and place in r["filter"]["prefix"]}
    assert expiring == {f"{place}{waiting.Folder.SUBMITTED}/", f"{place}{waiting.Folder.REFUSED}/"}


def test_its_log_is_named_as_lambda_names_it(stack: Any) -> None:
    d = stack()
    assert (
        d.one("LogGroup", "-after").inputs["name"] == f"/aws/lambda/{d.one('lambda/function:Function').inputs['name']}"
    )


def test_what_waits_is_submitted_in_the_name_of_who_alone_may_write_it(stack: Any) -> None:
    """The function takes the owner from the key, so a key below an id is its owner's, and no job's, to write."""
    astro, astro2 = Group(stack("astro")), Group(stack("astro2"))
    mine, bobs = (
        f"{astro.bucket}/{waiting.key(astro.card['waiting'], Folder.WAITING, who, 'x')}" for who in (ALICE, BOB)
    )
    alice = {"aws:userid": ALICE}
    for people in (astro.researcher, astro.lead):
        assert allowed(people, "s3:PutObject", mine, alice)
        assert not allowed(people, "s3:PutObject", bobs, alice)
        assert allowed(people, "s3:GetObject", bobs, alice)
    assert allowed(astro.researcher, "s3:DeleteObject", mine, alice)
    assert not allowed(astro.researcher, "s3:DeleteObject", bobs, alice)
    assert allowed(astro.lead, "s3:DeleteObject", bobs, alice)
    for action in ("s3:PutObject", "s3:GetObject", "s3:DeleteObject"):
        assert not allowed(astro.job, action, mine, {})
        assert not allowed(astro2.lead, action, mine, alice)


def test_what_waits_is_submitted_to_the_stack_alone(stack: Any) -> None:
    astro, astro_b = Group(stack("astro")), Group(stack("astro-b"))
    (document,) = [r.json("policy") for r in astro.made.of("RolePolicy") if r.name.endswith("-after")]
    place, bucket = astro.card["waiting"], astro.bucket
    assert submits([document], astro, astro, {})
    assert not submits([document], astro_b, astro_b, {})
    tag = {"aws:RequestTag/tutti:group": "astro-b"}
    assert not allowed([document], "batch:TagResource", f"arn:aws:batch:us-west-2:{ACCOUNT}:job/1", tag)
    for folder, actions in {
        Folder.WAITING: {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
        Folder.SUBMITTED: {"s3:PutObject"},
        Folder.REFUSED: {"s3:PutObject"},
    }.items():
        at = f"{bucket}/{waiting.key(place, folder, ALICE, 'x')}"
        assert {a for a in OBJECT_ACTIONS if allowed([document], a, at, {})} == actions
    assert allowed([document], "s3:PutObject", f"{bucket}/{waiting.capsule_key(f'astro/{RUNS}', 'id')}", {})
    for at in ("astro/results/x", "astro/runs", "_after/astro-b/waiting/x/y.json"):
        assert not [a for a in OBJECT_ACTIONS if allowed([document], a, f"{bucket}/{at}", {})]
