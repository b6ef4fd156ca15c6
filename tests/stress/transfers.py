"""Money between accounts, in transactions: none is made, none is lost, and nobody ever sees it in flight."""

from __future__ import annotations

import random

from pydantic import BaseModel, Field, ValidationError

from distobjects import AsyncRedisBackend, AsyncTransaction, Conflict, RedisBackend, Transaction
from tests.stress.crew import Post
from tests.stress.figures import ACKNOWLEDGED, CONFLICTS, REFUSED, Figures, Tally, total
from tests.stress.stage import Stage, Work, shares

_ACCOUNTS, _EACH, _BETWEEN_AUDITS = [str(number) for number in range(20)], 100, 25


class Account(BaseModel):
    """One of those between which money goes to and fro."""

    balance: int = Field(default=_EACH, ge=0)


class Books(BaseModel):
    """What one worker has done and seen."""

    sums: list[int] = []
    least: int = 0


def _transfer(post: Post, db: RedisBackend, times: int) -> tuple[Tally, Tally, Books]:
    moved, audited, books, accounts = Tally(), Tally(), Books(), db.objects(Account)
    chance = random.Random(post.index)

    def transfer(tx: Transaction) -> None:
        payer, payee = (tx.edit(accounts, id) for id in (source, target))
        payer.balance -= amount
        payee.balance += amount

    for number in range(times):
        source, target = chance.sample(_ACCOUNTS, 2)
        amount = chance.randint(1, _EACH)
        with moved.attempt(ValidationError, Conflict):
            db.transact(transfer)
        post.tick()
        if number % _BETWEEN_AUDITS == _BETWEEN_AUDITS - 1:
            with audited.attempt(Conflict):
                _note(books, db.transact(lambda tx: [tx.get(accounts, id).balance for id in _ACCOUNTS]))
    return moved, audited, books


async def _transfer_awaited(post: Post, db: AsyncRedisBackend, times: int) -> tuple[Tally, Tally, Books]:
    moved, audited, books, accounts = Tally(), Tally(), Books(), db.objects(Account)
    chance = random.Random(post.index)

    async def transfer(tx: AsyncTransaction) -> None:
        payer, payee = await tx.edit(accounts, source), await tx.edit(accounts, target)
        payer.balance -= amount
        payee.balance += amount

    async def audit(tx: AsyncTransaction) -> list[int]:
        return [(await tx.get(accounts, id)).balance for id in _ACCOUNTS]

    for number in range(times):
        source, target = chance.sample(_ACCOUNTS, 2)
        amount = chance.randint(1, _EACH)
        with moved.attempt(ValidationError, Conflict):
            await db.transact(transfer)
        post.tick()
        if number % _BETWEEN_AUDITS == _BETWEEN_AUDITS - 1:
            with audited.attempt(Conflict):
                _note(books, await db.transact(audit))
    return moved, audited, books


def _note(books: Books, balances: list[int]) -> None:
    books.sums.append(sum(balances))
    books.least = min(books.least, *balances)


def transfers(stage: Stage, size: int) -> Figures:
    """All transfer, and now and then add up all balances, which waits for a moment without transfers."""
    with stage.open() as db:
        accounts = db.objects(Account)
        accounts.create_many({id: Account() for id in _ACCOUNTS})
        results = stage.run(Work(_transfer, _transfer_awaited), [(each,) for each in shares(size, stage.crew.size)])
        left = [account.balance for account in accounts.get_many(_ACCOUNTS) if account]
    tally, audits = total(result[0] for result in results), total(result[1] for result in results)
    books = [result[2] for result in results]
    assert sum(left) == _EACH * len(_ACCOUNTS)
    assert {seen for each in books for seen in each.sums} == {sum(left)}
    assert min(left) >= 0
    assert all(each.least >= 0 for each in books)
    assert tally.counts[CONFLICTS] == 0
    return Figures(
        tally.counts[ACKNOWLEDGED],
        tally.counts[ACKNOWLEDGED],
        conflicts=audits.counts[CONFLICTS],
        worst_seconds=max(tally.worst_seconds, audits.worst_seconds),
        note=f"{audits.counts[ACKNOWLEDGED]:,} audits, all {sum(left):,}; "
        f"{tally.counts[REFUSED]:,} refused for lack of money",
    )
