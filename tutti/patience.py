"""What a long wait meets and must survive: credentials that expire, a network that goes away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from tutti.aws import ExpiredError, told
from tutti.errors import UnreachableError

if TYPE_CHECKING:
    from tutti.cluster import Cluster

P = ParamSpec("P")
T = TypeVar("T")
Tell = Callable[[str], None]


class Patience:
    """Asks AWS again, with new clients, for as long as it takes.

    `tell` gets each trouble's words once. Only what once worked is waited for (`answered`: it has before this), so that
    credentials that never were good and a wrong endpoint are told at once. A twin that is silent is down.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        tell: Tell | None = None,
        answered: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster, self._tell, self._sleep = cluster, tell, sleep
        self._answered, self._complained = answered, False

    def through(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `call` answers. It is called again from its beginning: it must be one that can be."""
        while True:
            try:
                answer = told(call)(*args, **kwargs)
            except (ExpiredError, UnreachableError) as error:
                if not self._answered or (isinstance(error, UnreachableError) and self._cluster.is_twin):
                    raise
                if not self._complained and self._tell is not None:
                    self._tell(str(error))
                self._complained = True
                self._cluster.renew()
                self._sleep(5 * self._cluster.poll_s)
            else:
                self._answered, self._complained = True, False
                return answer
