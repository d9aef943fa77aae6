from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from agentmem_store import analysis
from agentmem_store.analysis import page
from agentmem_store.analysis.advice import Advice
from agentmem_store.analysis.report import gather
from agentmem_store.repositories import messages, users

if TYPE_CHECKING:
    from agentmem_store.database import Database
    from agentmem_store.scope import Scope

pytestmark = pytest.mark.own_sessions


class Page(HTMLParser):
    """Takes note of what a page has, and that each element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_stands_alone_and_is_well_formed(busy: Database) -> None:
    shown = Page(await analysis.report(busy))
    assert not shown.open
    tags = [tag for tag, _ in shown.seen]
    assert tags.count("h1") == 1
    assert not {"script", "link", "img", "iframe", "a"} & set(tags), "nothing comes from elsewhere"
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in shown.seen
    assert "figure" in tags, "there are plans"
    assert tags.count("tr") == 14, "thirteen tables and their head"


async def test_queries_that_ran_are_shown_with_their_plans(db: Database, tenant: Scope) -> None:
    await messages.recent(tenant, tenant.organization_id)
    await users.list(tenant)
    text = await analysis.report(db)
    assert "messages.recent" in text
    assert "messages_visible" in text, "the plan"
    assert "1 calls" in text


async def test_what_is_shown_is_escaped(db: Database) -> None:
    shown = await gather(db)
    wild = Advice(rule="r", severity="notice", subject="<b>", message="a & b", evidence={}, ddl="DROP <script>")
    shown.advice.append(wild)
    text = page.render(shown)
    assert "&lt;b&gt;" in text
    assert "DROP &lt;script&gt;" in text
    assert "a &amp; b" in text
    assert "<script>" not in text
