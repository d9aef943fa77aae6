"""Keeping searches in shape: counts of words after a bulk load, and a change of language.

Neither is needed for a search to be right. Both work in short transactions of bounded size, unless the scope is itself
one, and hold no connection between them. Both can be stopped anywhere, also by a kill: running them again goes on with
what is left.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from agentmem_store import errors
from agentmem_store.inputs import check_limit, check_text
from agentmem_store.models.organizations import LANGUAGE_LENGTH
from agentmem_store.progress import Progress
from agentmem_store.repositories import agents
from agentmem_store.repositories.reading import found
from agentmem_store.repositories.search_terms import LARGE, refresh, refresh_visible
from agentmem_store.statements import organizations, reindexing, search_terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from agentmem_store.models.search import Reindexed
    from agentmem_store.query import Query
    from agentmem_store.scope import Scope

__all__ = ["LANGUAGES", "LanguageReport", "RefreshReport", "refresh", "refresh_stale", "set_language"]

# Those whose words agentmem.search_words stems.
LANGUAGES: Final = frozenset({
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek",
    "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese",
    "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish",
})  # fmt: skip

_FIRST: Final = UUID(int=0)
_LAST: Final = UUID(int=2**128 - 1)
_DAY: Final = timedelta(days=1)
_LONGEST: Final = timedelta(days=365_000)
_AGENTS: Final = 100
_MOST_ROWS: Final = 10_000


class RefreshReport(NamedTuple):
    """What a refresh of all agents did.

    Attributes:
        agents: how many were looked at.
        refreshed: of how many the words were counted anew; the others have few rows, or had been counted recently.
    """

    agents: int
    refreshed: int


class LanguageReport(NamedTuple):
    """What a change of language did.

    Attributes:
        messages: how many were indexed anew.
        memories: likewise.
        refreshed: of how many agents the words were counted anew.
    """

    messages: int
    memories: int
    refreshed: int


async def refresh_stale(
    scope: Scope, *, older_than: timedelta = _DAY, on_progress: Callable[[int, int], None] | None = None
) -> RefreshReport:
    """Count anew which words are common, as `refresh` does, for each agent of the organization that needs it.

    These are the agents whose words were counted too long ago, and those with 3,000 messages or memories and no counts.
    A transaction for each. Stopped, it is resumed by a call with the same age: it passes over what is counted by then.

    Args:
        older_than: how long ago words were counted at least, from 0 to 365,000 days; 0 for all that have counts.
        on_progress: called after each agent with the agents done and the agents to do.

    Raises:
        ValidationError: the age is no such timedelta.
    """
    _check_age(older_than)
    progress = Progress(on_progress, await agents.count(scope) if on_progress else 0, every=1)
    looked = refreshed = 0
    after: UUID = _FIRST
    while some := await scope.fetch_all(search_terms.DUE, after, _AGENTS, older_than, LARGE):
        for agent in some:
            if agent.is_due:
                refreshed += await refresh_visible(scope, agent.id) is not None
            progress.add(1)
        looked += len(some)
        after = some[-1].id
    progress.tell()
    return RefreshReport(looked, refreshed)


async def set_language(
    scope: Scope,
    language: str,
    *,
    batch_size: int = 1000,
    on_progress: Callable[[int, int], None] | None = None,
) -> LanguageReport:
    """Set the language by which an organization's texts and queries are stemmed, and index its rows anew.

    The organization changes first: from then on what is stored is stored in the new language, so that the rows left to
    do become fewer whatever others write. Until a row has had its turn it is found by words that both languages write
    alike, and all text in scripts without spaces; the newest rows have theirs first. Rows are searched as the server
    stores them: no search waits or fails meanwhile. In the end the words of its agents are counted anew.

    Rows keep their version and their time: this is no edit. (The organization has a new version, as with any change.) A
    row that is stored by a transaction begun before the change may keep the language of then, as do texts that `load`
    brings; a further call finds them. It is the only way to change a language that is set.

    Args:
        language: one of `LANGUAGES`; any other name, such as simple, for words as they are written. 1 to 63 characters.
        batch_size: rows looked at, and at most locked, at a time, 1 to 10,000.
        on_progress: called about every thousand rows, and in the end, with the rows done and the rows to do.

    Raises:
        NotFound: the organization is not there, or deleted.
        ValidationError: the language or the size is no such.
    """
    if not check_text(language, "language", most=LANGUAGE_LENGTH):
        raise errors.ValidationError.of("language", "must not be empty")
    check_limit(batch_size, "batch_size", most=_MOST_ROWS)
    changed: UUID | None = await scope.fetch_optional(organizations.SET_LANGUAGE, language, scope.actor_id)
    found(changed, "organization")
    progress = Progress(on_progress, await scope.fetch_one(reindexing.COUNT) if on_progress else 0)
    messages = await _reindex(scope, reindexing.MESSAGES, batch_size, progress)
    memories = await _reindex(scope, reindexing.MEMORIES, batch_size, progress)
    progress.tell()
    refreshed = await refresh_stale(scope, older_than=timedelta(0))
    return LanguageReport(messages, memories, refreshed.refreshed)


def _check_age(value: object) -> None:
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= _LONGEST:
        raise errors.ValidationError.of("older_than", "must be a timedelta from 0 to 365,000 days")


async def _reindex(scope: Scope, query: Query[Reindexed], batch_size: int, progress: Progress) -> int:
    """Walk a table, and again until nothing is left: what others were storing meanwhile comes with the next walk."""
    every = changed = await _walk(scope, query, batch_size, progress)
    while changed:
        changed = await _walk(scope, query, batch_size, None)
        every += changed
    return every


async def _walk(scope: Scope, query: Query[Reindexed], batch_size: int, progress: Progress | None) -> int:
    changed = 0
    begin: UUID | None = _LAST
    while begin is not None:
        batch = await scope.fetch_one(query, batch_size, begin)
        changed += batch.changed
        begin = batch.next_id
        if progress:
            progress.add(batch.walked)
    return changed
