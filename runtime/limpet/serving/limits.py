"""What an account has used, counted in one place: requests a minute, and tokens and money by day and month (UTC).

`Account` is the counter, plain data that a Durable Object keeps. `Meter` asks it seldom: it takes some requests at a
time and tells what was used in batches, so most requests cost no round trip.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..events import Usage
from ..layers.prices import PRICES, price_of
from ..wire import JsonObject
from .access import Caller, Limits
from .http import HttpError

DAY = 86_400
_LEASE_SECONDS = 5.0
_LEASE_REQUESTS = 20
_PERIODS = ("day", "month")


@dataclass(slots=True)
class Account:
    """What was used so far. Time is seconds since 1970."""

    level: float = 0.0
    filled_at: float = 0.0
    totals: dict[str, JsonObject] = field(default_factory=dict)

    def take(self, wanted: int, limits: Limits, now: float) -> tuple[int, float]:
        """Take up to so many requests; gives how many may be made, and after how many seconds the next may.

        Raises `HttpError` (429) when a budget is used up.
        """
        self._check(limits, now)
        rate = limits.requests_per_minute
        if rate is None:
            return wanted, 0.0
        self.level = float(rate) if self.filled_at == 0 else min(rate, self.level + (now - self.filled_at) * rate / 60)
        self.filled_at = now
        granted = min(wanted, int(self.level))
        self.level -= granted
        return granted, max(0.0, (1 - self.level) * 60 / rate)

    def spend(self, model: str, usage: Usage, now: float) -> None:
        """Count what an answer has used. A model without a known price costs nothing here."""
        price = price_of(model, PRICES)
        cost = 0.0 if price is None else price.cost(usage)
        for period in _PERIODS:
            total = self._total(period, now)
            for name, more in (("requests", 1), ("tokens", usage.total_tokens), ("cost", cost)):
                total[name] = total[name] + more  # type: ignore[operator]  # numbers, by `_total`

    def report(self, now: float) -> JsonObject:
        """Give what was used today and this month."""
        return {period: dict(self._total(period, now)) for period in _PERIODS}

    def _check(self, limits: Limits, now: float) -> None:
        for period in _PERIODS:
            total = self._total(period, now)
            for name in ("tokens", "cost"):
                limit = getattr(limits, f"{name}_per_{period}")
                if limit is not None and total[name] >= limit:
                    raise HttpError(429, "budget_used_up", f"the budget of {name} for this {period} is used up")

    def _total(self, period: str, now: float) -> JsonObject:
        began = period_of(now, period)
        total = self.totals.get(period)
        if total is None or total["began"] != began:
            total = self.totals[period] = {"began": began, "requests": 0, "tokens": 0, "cost": 0.0}
        return total


def period_of(now: float, period: str) -> int:
    """Give the number of a day or a month since 1970, in UTC.

    >>> [period_of(day * 86_400, "month") for day in (0, 30, 31, 364, 365, 11_016, 11_017)]
    [0, 0, 1, 11, 12, 361, 362]
    """
    days = int(now // DAY)
    if period == "day":
        return days
    # Howard Hinnant's `civil_from_days`: years that begin in March put the leap day last.
    shifted = days + 719_468
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * of_year + 2) // 153
    month = march_month + 2 if march_month < 10 else march_month - 10
    return (year + era * 400 + (month <= 1) - 1970) * 12 + month


def account_to_json(account: Account) -> JsonObject:
    """Write an account for its store."""
    return {"level": account.level, "filled_at": account.filled_at, "totals": dict(account.totals)}


def account_from_json(data: JsonObject) -> Account:
    """Read an account that `account_to_json` wrote."""
    return Account(**data)  # type: ignore[arg-type]  # its own


Ask = Callable[[str, JsonObject], Awaitable[JsonObject]]
"""Asks the ledger of an account: `{"take", "limits", "now"}` or `{"spend": [...]}`; a refusal has an `error`."""


@dataclass(slots=True)
class _Lease:
    left: int
    until: float


class Meter:
    """Asks and tells the ledgers; lives as long as its Worker, and may be lost with it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._leases: dict[str, _Lease] = {}

    async def admit(self, caller: Caller, now: float) -> None:
        """Let one request of a caller in. Raises `HttpError` (429) when it comes too soon or a budget is used up."""
        if caller.limits.is_empty:
            return
        lease = self._leases.get(caller.account)
        if lease is not None and lease.left > 0 and now < lease.until:
            lease.left -= 1
            return
        rate = caller.limits.requests_per_minute
        # A budget is looked at before each request; of a mere rate some are taken ahead.
        wanted = 1 if rate is None or caller.limits.has_budget else max(1, min(_LEASE_REQUESTS, rate // 20))
        limits: JsonObject = {name: getattr(caller.limits, name) for name in Limits.__dataclass_fields__}
        reply = await self._ask(caller.account, {"take": wanted, "limits": limits})
        if error := reply.get("error"):
            raise HttpError(429, str(reply.get("code")), str(error))
        granted = int(str(reply["granted"]))
        if granted == 0:
            wait = max(1, round(float(str(reply["wait_seconds"]))))
            raise HttpError(429, "rate_limited", "too many requests", headers={"retry-after": str(wait)})
        self._leases[caller.account] = _Lease(granted - 1, now + _LEASE_SECONDS)

    async def spend(self, caller: Caller, model: str, usage: Usage) -> None:
        """Count what an answer has used."""
        entry: JsonObject = {"model": model, "input": usage.input_tokens, "output": usage.output_tokens}
        await self._ask(caller.account, {"spend": {**entry, "cached": usage.cached_tokens}})


class LedgerServer:
    """Answers for one account, where that lives. `load` and `save` keep it."""

    def __init__(
        self, load: Callable[[], Awaitable[JsonObject | None]], save: Callable[[JsonObject], Awaitable[object]]
    ) -> None:
        self._load = load
        self._save = save
        self._account: Account | None = None

    async def answer(self, data: JsonObject, now: float) -> JsonObject:
        """Carry out what a `Meter` asks."""
        if self._account is None:
            stored = await self._load()
            self._account = self._account or (Account() if stored is None else account_from_json(stored))
        account = self._account
        reply: JsonObject = {}
        if "take" in data:
            limits = Limits(**data["limits"])  # type: ignore[arg-type]
            try:
                granted, wait = account.take(int(str(data["take"])), limits, now)
                reply = {"granted": granted, "wait_seconds": wait}
            except HttpError as error:
                return {"error": error.message, "code": error.code}
        if isinstance(spend := data.get("spend"), dict):
            counts = {name: int(str(spend[name])) for name in ("input", "output", "cached")}
            usage = Usage(counts["input"], counts["output"], counts["cached"])
            account.spend(str(spend["model"]), usage, now)
        if data.get("report"):
            return account.report(now)
        await self._save(account_to_json(account))
        return reply
