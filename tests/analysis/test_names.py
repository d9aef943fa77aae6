from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agentmem_store.models.analysis import quoted, unquoted
from agentmem_store.query import Query

if TYPE_CHECKING:
    from agentmem_store.database import Database

QUOTED_WORDS = Query("test.quoted_words", str, """
SELECT w.word
FROM pg_get_keywords() AS w
WHERE quote_ident(w.word) <> w.word
""")  # fmt: skip
SHOWN = Query("test.shown", str, """
SELECT quote_ident(n.name)
FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place)
ORDER BY n.place
""")  # fmt: skip
NAMES = ["messages", "by_age_2", "2fast", "Camel", 'a"b', "with space", "left", "é", "_", "$x"]


async def test_names_are_quoted_as_the_server_quotes_them(db: Database) -> None:
    assert list(map(quoted, NAMES)) == await db.fetch_all(SHOWN, NAMES)
    words = await db.fetch_all(QUOTED_WORDS)
    assert len(words) > 100
    assert [word for word in words if quoted(word) == word] == []


@pytest.mark.parametrize("name", NAMES)
def test_quoting_is_taken_back(name: str) -> None:
    assert unquoted(quoted(name)) == name
