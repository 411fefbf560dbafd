"""What accounts may use: a rate that fills up again, budgets of days and months, and requests taken ahead."""

from __future__ import annotations

import pytest

from limpet.events import Usage
from limpet.serving.access import Caller, Limits
from limpet.serving.http import HttpError
from limpet.serving.limits import DAY, Account, LedgerServer, Meter, account_from_json, account_to_json, period_of
from limpet.wire import JsonObject

NOW = 20_000 * DAY + 100.0  # 2024-10-04
SCOPES = frozenset({"agent"})


def test_a_rate_fills_up_again() -> None:
    account, limits = Account(), Limits(requests_per_minute=3)

    assert account.take(5, limits, NOW) == (3, 20.0)
    assert account.take(1, limits, NOW + 10) == (0, 10.0)
    assert account.take(1, limits, NOW + 20) == (1, 20.0)
    assert account.take(9, limits, NOW + 3600)[0] == 3


def test_a_budget_is_used_up_and_begins_again_the_next_day() -> None:
    account, limits = Account(), Limits(tokens_per_day=100)
    account.spend("openai:gpt-5-mini", Usage(input_tokens=60, output_tokens=40), NOW)

    with pytest.raises(HttpError) as caught:
        account.take(1, limits, NOW + 60)
    assert (caught.value.status, caught.value.code) == (429, "budget_used_up")
    assert account.take(1, limits, NOW + DAY) == (1, 0.0)
    assert account.report(NOW + DAY)["day"] == {"began": 20_001, "requests": 0, "tokens": 0, "cost": 0.0}


def test_money_is_counted_by_the_table_of_prices() -> None:
    account = Account()
    account.spend("openai:gpt-5-mini", Usage(input_tokens=1_000_000, output_tokens=1_000_000), NOW)
    account.spend("nobody:knows", Usage(input_tokens=1_000_000), NOW)

    month = {"began": period_of(NOW, "month"), "requests": 2, "tokens": 3_000_000, "cost": 2.25}
    assert account.report(NOW)["month"] == month
    with pytest.raises(HttpError):
        account.take(1, Limits(cost_per_month=2.0), NOW)


def test_an_account_is_kept() -> None:
    account = Account()
    account.take(1, Limits(requests_per_minute=3), NOW)
    account.spend("openai:gpt-5", Usage(1, 2), NOW)

    assert account_from_json(account_to_json(account)) == account


class Book:
    """A ledger in this process, which counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = NOW
        self.stored: JsonObject | None = None
        self._server = LedgerServer(self._load, self._save)

    async def ask(self, account: str, data: JsonObject) -> JsonObject:
        self.asked += 1
        return await self._server.answer(data, self.now)

    async def _load(self) -> JsonObject | None:
        return self.stored

    async def _save(self, data: JsonObject) -> None:
        self.stored = data


async def test_requests_are_taken_ahead_and_never_more_than_the_rate() -> None:
    book = Book()
    meter = Meter(book.ask)
    caller = Caller("a", "a", SCOPES, limits=Limits(requests_per_minute=100))
    for _ in range(100):
        await meter.admit(caller, NOW)
    assert book.asked == 100 // 5

    for _ in range(3):
        with pytest.raises(HttpError) as caught:
            await meter.admit(caller, NOW)
        assert (caught.value.status, caught.value.headers) == (429, {"retry-after": "1"})


async def test_a_budget_is_looked_at_before_each_request() -> None:
    book = Book()
    meter = Meter(book.ask)
    caller = Caller("a", "a", SCOPES, limits=Limits(tokens_per_day=10))
    await meter.admit(caller, NOW)
    await meter.spend(caller, "openai:gpt-5", Usage(6, 6))

    with pytest.raises(HttpError) as caught:
        await meter.admit(caller, NOW)
    assert caught.value.code == "budget_used_up"
    assert book.asked == 3


async def test_nobody_is_asked_where_nothing_is_limited() -> None:
    book = Book()
    await Meter(book.ask).admit(Caller("a", "a", SCOPES), NOW)

    assert book.asked == 0
