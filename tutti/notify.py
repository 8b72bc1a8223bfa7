"""`--notify ADDRESS`: a mail (or any SNS endpoint) when the job ends, through the stack's topic.

The stack's event rule puts Batch's job events on the topic; one subscription an address, which lets through only jobs
that carry its tag. SNS asks the address once for its consent.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from tutti.aws import told
from tutti.errors import InputError, Problem
from workload import notices

if TYPE_CHECKING:
    from tutti.cluster import Cluster

MAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
PROTOCOLS: Final = {"https://": "https", "arn:aws:sqs:": "sqs", "arn:aws:lambda:": "lambda", "+": "sms"}


def protocol_of(address: str) -> str:
    """The SNS protocol of an address.

    Raises
    ------
    InputError
        None that SNS has.
    """
    if MAIL.fullmatch(address):
        return "email"
    for start, protocol in PROTOCOLS.items():
        if address.startswith(start):
            return protocol
    what = f"got {address!r}; allowed: a mail address, +NUMBER, https://..., the ARN of a queue or function"
    raise InputError([Problem(where="notify", what=what)])


@told
def subscribe(cluster: Cluster, address: str) -> None:
    """Make sure that the cluster's topic tells this address of jobs with its tag.

    Raises
    ------
    InputError
        No such kind of address.
    """
    protocol = protocol_of(address)
    cluster.client("sns").subscribe(
        TopicArn=cluster.card.topic,
        Protocol=protocol,
        Endpoint=address,
        Attributes={"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps(notices.subscription(address))},
        ReturnSubscriptionArn=True,
    )
