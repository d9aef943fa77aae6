"""The plan of a query, with real arguments, never with an effect that stays unless it was asked for."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from agentmem_store import errors
from agentmem_store.analysis.control import DEFAULT_TIMEOUT_S, executor_of, fetch, fetch_value, undone
from agentmem_store.models.analysis import quoted
from agentmem_store.models.plans import Node, Plan
from agentmem_store.scope import Scope
from agentmem_store.statements import analysis as statements

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from agentmem_store.executor import Executor
    from agentmem_store.query import Query
    from agentmem_store.scope import Root

__all__ = ["explain", "explain_on", "generic_plan", "prepared", "typed"]

_PREPARED: Final = "agentmem_explained"
_ARGUMENT: Final = "agentmem.argument_"  # a setting for each argument, of one transaction
_SHOWN: Final = "FORMAT JSON, VERBOSE, SETTINGS"


async def explain(
    scope: Root | Scope,
    query: Query[Any],
    *args: Any,
    analyze: bool = False,
    generic: bool = False,
    writes: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Plan:
    """Return how the server runs a query with these arguments.

    Nothing that it does stays: it runs in a transaction that is rolled back, or a savepoint where there is one already.

    Args:
        scope: whose rows; a `Database` for queries over organizations. A scope adds the organization as ``$1``.
        query: what to explain.
        args: its arguments, after the organization.
        analyze: whether to run it and measure. The server refuses writes meanwhile, unless `writes` is set.
        generic: whether to show the plan that is made without knowing the arguments. Connections of this library use
            that one, always; the default shows what the planner would do for these very values. Without `analyze` it
            does not take the arguments to the server.
        writes: with `analyze`, whether a query that writes or locks may run. It is rolled back, and
            `Plan.side_effects` lists what that leaves behind.
        timeout_s: seconds that each statement may take, above 0 and up to a day.

    Raises:
        UsageError: it writes, and `writes` was not set.
        ValidationError: timeout_s is out of bounds; or a generic plan is to be run with more or fewer arguments than
            the query has parameters.
        StatementTimeout: it took longer.
        AgentMemError: what the query itself raises.
    """
    own = (scope.organization_id, *args) if isinstance(scope, Scope) else args
    return await explain_on(
        executor_of(scope), query, own, analyze=analyze, generic=generic, writes=writes, timeout_s=timeout_s
    )


async def explain_on(
    executor: Executor,
    query: Query[Any],
    args: Sequence[Any] | None,
    *,
    analyze: bool = False,
    generic: bool = False,
    writes: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Plan:
    """Do what `explain` does with all arguments, the organization included; a generic plan may go without any."""
    options = _SHOWN + (", ANALYZE, BUFFERS, WAL" if analyze and writes else ", ANALYZE, BUFFERS" if analyze else "")
    try:
        async with undone(executor, timeout_s, read_only=not (analyze and writes)) as inner:
            if generic:  # made without arguments; they are only for running it
                told = await _generic(inner, query, args if analyze else None, options)
            else:
                told = await _custom(inner, query, args, options)
            plan = _parsed(query, told, analyzed=analyze, generic=generic)
            effects = await _side_effects(inner, plan) if analyze and writes else ()
    except errors.ReadOnly as error:
        if writes:  # the server is a replica
            raise
        raise errors.UsageError(
            f"{query.name} writes or locks rows, and analyze=True runs it: pass writes=True to have it run in a "
            "transaction that is rolled back, or leave analyze out"
        ) from error
    return plan.model_copy(update={"side_effects": effects})


async def generic_plan(executor: Executor, query: Query[Any]) -> Plan:
    """Return the plan of a query that is made without knowing its arguments, within a transaction of the caller's."""
    return _parsed(query, await _generic(executor, query, None, _SHOWN), analyzed=False, generic=True)


async def _custom(executor: Executor, query: Query[Any], args: Sequence[Any] | None, options: str) -> Any:
    # Bound to EXPLAIN itself, arguments are constants to the planner, whatever plan_cache_mode says.
    return await fetch_value(executor, f"EXPLAIN ({options}) {query.sql}", *(args or ()))


async def _generic(executor: Executor, query: Query[Any], args: Sequence[Any] | None, options: str) -> Any:
    await fetch(executor, "SET LOCAL plan_cache_mode = force_generic_plan")
    return await prepared(executor, query.sql, args, options)


async def prepared(executor: Executor, sql: str, args: Sequence[Any] | None, options: str) -> Any:
    """Return what EXPLAIN says of a statement that is prepared, by the plan that a prepared one gets.

    Args:
        executor: within a transaction.
        sql: one statement.
        args: its arguments; without them, NULLs, which a generic plan does not look at.
        options: of EXPLAIN.

    Raises:
        ValidationError: there are more or fewer arguments than parameters.
    """
    async with _preparing(executor, sql) as (inner, types):
        given = [None] * len(types) if args is None else list(args)
        _check_count(given, types, least=len(types))
        shown = await _handed_over(inner, types, given)
        return await fetch_value(inner, f"EXPLAIN ({options}) EXECUTE {_PREPARED}{shown}")


@asynccontextmanager
async def _preparing(executor: Executor, sql: str) -> AsyncGenerator[tuple[Executor, list[str]]]:
    """Prepare a statement, and yield where to use it and the types of its parameters."""
    await fetch(executor, f"PREPARE {_PREPARED} AS {sql}")
    try:
        # A savepoint: after an error the name is to be free again, and a failed transaction frees nothing.
        async with executor.transaction(None, read_only=False) as inner:
            yield inner, await fetch_value(inner, _TYPES, _PREPARED)
    finally:
        await fetch(executor, f"DEALLOCATE {_PREPARED}")


def _check_count(given: Sequence[Any], types: Sequence[str], *, least: int) -> None:
    if not least <= len(given) <= len(types):
        said = f"{len(given)} arguments, the organization included where there is one; the query takes {len(types)}"
        raise errors.ValidationError.of("args", said)


async def _handed_over(executor: Executor, types: Sequence[str], given: Sequence[Any]) -> str:
    """Return what stands behind EXECUTE for these arguments. None of their values is in it.

    EXECUTE has no parameters of its own. So the values go to the server as parameters of a statement that keeps them
    as settings until the transaction ends, in the text form that the server itself gives them, and EXECUTE names those.
    """
    values = [(place, value) for place, value in enumerate(given, start=1) if value is not None]
    if values:
        kept = (
            f"set_config('{_ARGUMENT}{place}', (${n}::{types[place - 1]})::text, true)"
            for n, (place, _) in enumerate(values, start=1)
        )
        await fetch(executor, f"SELECT {', '.join(kept)}", *(value for _, value in values))
    shown = (
        "NULL" if value is None else f"current_setting('{_ARGUMENT}{place}')::{kind}"
        for place, (kind, value) in enumerate(zip(types, given, strict=True), start=1)
    )
    return f"({', '.join(shown)})" if types else ""


async def typed(executor: Executor, query: Query[Any], texts: Sequence[str | None]) -> list[Any]:
    """Return the arguments of a query, given as text; those that are not given are NULL.

    Raises:
        ValidationError: there are more than the query has parameters.
        DatabaseError: the server cannot read one as its type.
    """
    async with undone(executor, DEFAULT_TIMEOUT_S) as inner, _preparing(inner, query.sql) as (within, types):
        _check_count(texts, types, least=0)
        given = [*texts, *[None] * (len(types) - len(texts))]
        casts = ", ".join(f"${n}::text::{kind}" for n, kind in enumerate(types, start=1))
        return list((await fetch(within, f"SELECT {casts}", *given))[0])


_TYPES: Final = """
SELECT p.parameter_types::text[]
FROM pg_prepared_statements AS p
WHERE p.name = $1
"""


def _parsed(query: Query[Any], told: Any, *, analyzed: bool, generic: bool) -> Plan:
    (said,) = json.loads(told) if isinstance(told, str) else told
    return Plan(
        query=query.name,
        root=Node.model_validate(said["Plan"]),
        analyzed=analyzed,
        generic=generic,
        planning_ms=said.get("Planning Time"),
        execution_ms=said.get("Execution Time"),
        settings=said.get("Settings", {}),
    )


async def _side_effects(executor: Executor, plan: Plan) -> tuple[str, ...]:
    """Say what running it leaves behind although it is rolled back."""
    if not plan.writes:
        return ("rows that it locked were locked until it was rolled back",)
    tables = ", ".join(plan.writes)
    found = [
        f"dead row versions in {tables}, until they are vacuumed",
        f"counters of {tables} in the server's statistics",
        "WAL was written, and rows that it changed were locked until it was rolled back",
    ]
    effects = await executor.fetch(statements.WRITE_EFFECTS, (list(plan.writes),))
    found += [f"{each['kind']} {quoted(each['name'])} of {each['on_table']} was used" for each in effects]
    return tuple(found)
