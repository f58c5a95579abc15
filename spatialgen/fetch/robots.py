"""robots.txt (RFC 9309): which paths of a host its owner keeps from us. Read once per host."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from urllib.robotparser import RobotFileParser

from yarl import URL

from spatialgen.fetch.outcome import Outcome, failure
from spatialgen.fetch.reasons import Reason

MAX_HOSTS = 20_000  # whose rules are kept
MAX_BYTES = 512 * 1024  # of rules; RFC 9309, 2.5
NONE = {Reason.gone, Reason.forbidden, Reason.http_error, Reason.redirects, Reason.not_image}


class Robots:
    """The rules of the hosts that this run has met."""

    def __init__(self, read: Callable[[URL], Awaitable[Outcome]], user_agent: str) -> None:
        self._read = read
        self._name = user_agent.partition("/")[0]
        self._rules: OrderedDict[URL, asyncio.Task[RobotFileParser | Outcome]] = OrderedDict()

    async def refusal(self, url: URL) -> Outcome | None:
        """Why `url` is not to be asked for: its owner's rules, or that these cannot be had now."""
        origin = url.origin()
        task = self._rules.get(origin)
        if task is None:
            task = self._rules[origin] = asyncio.create_task(self._load(origin))
            if len(self._rules) > MAX_HOSTS:
                self._rules.popitem(last=False)
        rules = await asyncio.shield(task)  # others wait for it, too
        if isinstance(rules, Outcome):
            self._rules.pop(origin, None)  # another request may have more luck
            return rules
        if rules.can_fetch(self._name, str(url)):
            return None
        return failure(Reason.robots, f"robots.txt keeps {url.raw_path} from {self._name}")

    async def _load(self, origin: URL) -> RobotFileParser | Outcome:
        """Rules. Without a robots.txt everything is allowed; a host in trouble is asked later."""
        outcome = await self._read(origin / "robots.txt")
        if outcome.reason is not None and outcome.reason not in NONE:
            return failure(outcome.reason, f"robots.txt: {outcome.error}")
        parser = RobotFileParser()
        rules = (outcome.data or b"")[:MAX_BYTES]
        parser.parse(rules.decode("utf-8", "replace").splitlines())
        parser.modified()  # or it would refuse everything as unread
        return parser
