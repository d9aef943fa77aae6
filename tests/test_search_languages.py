"""One text in each of many languages and scripts is found by a query that says it in another form, in any locale."""

# ruff: noqa: RUF001 (letters of other scripts are the point)

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from agentmem_store import migrations
from agentmem_store.config import DEVELOPMENT
from agentmem_store.database import Database
from agentmem_store.models.agents import NewAgent
from agentmem_store.models.memories import NewMemory
from agentmem_store.models.messages import Neighbours, NewMessage
from agentmem_store.models.organizations import NewOrganization
from agentmem_store.repositories import agents, memories, messages, organizations
from tests.servers import admin, on_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Case(NamedTuple):
    """A text; queries that mean it by another case, accent, width, normal form or ending; and what one highlights."""

    language: str
    content: str
    queries: list[str]
    highlighted: str


CORPUS = [
    Case(
        "english",
        "The travellers were RUNNING through the old library",
        ["traveller run LIBRARIES", "ｌｉｂｒａｒｙ"],
        "library",
    ),
    Case("german", "Die Straßen nach Köln waren gesperrt", ["STRASSE KOLN", "köln", "KO\u0308LN"], "Köln"),
    Case("french", "Les châteaux furent construits près de la forêt", ["CHATEAU", "forêts", "FORET"], "forêt"),
    Case("spanish", "Reservamos dos habitaciones con vista", ["habitación", "HABITACIONES"], "habitaciones"),
    Case("italian", "Abbiamo visitato tre città antiche", ["citta", "ANTICA"], "antiche"),
    Case("portuguese", "As reuniões sobre educação começaram tarde", ["educacao", "EDUCAÇÕES"], "educação"),
    Case("dutch", "Wij fietsten langs de grachten", ["GRACHT"], "grachten"),
    Case("swedish", "Flickorna plockade blåbär i skogen", ["blabar", "SKOGAR"], "blåbär"),
    Case("turkish", "Akşam yemeğinde balıklar yedik", ["balik", "AKŞAM"], "Akşam"),
    Case("polish", "Zażółć gęślą jaźń", ["zazolc", "GĘŚLĄ"], "gęślą"),
    Case("czech", "ŽIVOT JE KRÁSNÝ", ["život", "krasny"], "KRÁSNÝ"),
    Case("vietnamese", "Tôi thích phở bò Hà Nội", ["pho", "PHỞ", "ha noi"], "Hà"),
    Case("greek", "Ο Σίσυφος κουβαλούσε τον βράχο", ["ΣΊΣΥΦΟΣ", "βραχο"], "βράχο"),
    Case("russian", "Ёлки стояли у старого ДОМА", ["елка", "дом"], "ДОМА"),
    Case("ukrainian", "Її кіт спить на дивані", ["ДИВАНІ"], "дивані"),
    Case("armenian", "Երևանում անձրև է գալիս", ["ԱՆՁՐԵՎ անձրև"], "անձրև"),
    Case("georgian", "თბილისში ლამაზი ამინდია", ["ლამაზი"], "ლამაზი"),
    Case("hebrew", "שָׁלוֹם לכולם", ["שלום"], "שָׁלוֹם"),
    Case("arabic", "السَّلَامُ عليكم يا أصدقاء", ["السلام"], "السَّلَامُ"),
    Case("persian", "کتاب‌های خوبی خواندم", ["خوبی"], "خوبی"),
    Case("hindi", "मुझे हिन्दी भाषा पसंद है", ["हिन्दी"], "हिन्दी"),
    Case("tamil", "நான் புத்தகம் படிக்கிறேன்", ["புத்தகம்"], "புத்தகம்"),
    Case("chinese", "周末我喜欢去西湖边喝绿茶。", ["绿茶", "西湖"], "绿茶"),
    Case("traditional", "她在圖書館學習書法", ["圖書館"], "圖書館"),
    Case("japanese", "来週ﾄﾞﾗｲﾌﾞに行きます", ["ドライブ", "来週のドライブ"], "ﾄﾞﾗｲﾌﾞ"),
    Case("korean", "주말에 도서관에서 공부했어요", ["도서관", "도서관"], "도서관"),
    Case("thai", "ฉันชอบกินข้าวผัดกุ้ง", ["ข้าวผัด"], "ข้าวผัด"),
    Case("khmer", "ខ្ញុំចូលចិត្តអានសៀវភៅ", ["សៀវភៅ"], "សៀវភៅ"),
    Case("burmese", "ကျွန်တော် မုန့်ဟင်းခါး ကြိုက်တယ်", ["မုန့်ဟင်းခါး"], "မုန့်ဟင်းခါး"),
    Case("mixed", "我的ｉＰｈｏｎｅ手机坏了", ["iphone 手机", "IPHONE"], "ｉＰｈｏｎｅ"),
    Case("sharp s", "die Straße", ["STRASSE", "straße"], "Straße"),
    Case("pictographs", "we won 🎉🎉 again", ["🎉"], "🎉🎉"),
    Case("older pictographs", "a cup of ☕ for 5 ⭐", ["☕", "⭐"], "☕"),
    Case("decomposed", "un cafe\u0301 noir", ["café", "CAFE"], "cafe\u0301"),
]


@pytest.fixture(scope="module", params=["C", "C.UTF-8"])
def locale_dsn(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """The DSN of a migrated database of one locale."""
    name = f"agentmem_located_{os.getpid()}_{request.param.lower().replace('.', '_')}"
    locale = f"ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE '{request.param}'"
    asyncio.run(admin(server, f'CREATE DATABASE "{name}" TEMPLATE template0 {locale}'))
    asyncio.run(migrations.up(on_database(server, name)))
    yield on_database(server, name)
    asyncio.run(admin(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
async def located(locale_dsn: str) -> AsyncIterator[Database]:
    async with Database(locale_dsn, DEVELOPMENT) as db:
        yield db


@pytest.mark.parametrize("case", CORPUS, ids=[case.language for case in CORPUS])
async def test_a_text_is_found_by_another_form(located: Database, case: Case) -> None:
    organization = await organizations.create(located, NewOrganization(name=case.language, language=case.language))
    scope = located.tenant(organization.id)
    agent = await agents.create(scope, NewAgent(name="bot"))
    texts = [other.content for other in CORPUS if other != case] + [case.content]
    await memories.create_many(scope, [NewMemory(content=text) for text in texts])
    await messages.append(scope, agent.id, [NewMessage(role="user", text=text) for text in texts])
    for query in case.queries:
        kept = await memories.search(scope, query)
        assert [hit.memory.content for hit in kept][:1] == [case.content], query
        said = await messages.search(scope, agent.id, query, neighbours=Neighbours(after=0, before=0))
        assert [hit.message.text for hit in said][:1] == [case.content], query


@pytest.mark.parametrize("case", CORPUS, ids=[case.language for case in CORPUS])
async def test_what_was_found_is_highlighted(located: Database, case: Case) -> None:
    organization = await organizations.create(located, NewOrganization(name=case.language, language=case.language))
    scope = located.tenant(organization.id)
    await memories.create(scope, NewMemory(content=case.content))
    found = set[str]()
    for query in case.queries:
        [hit] = await memories.search(scope, query, highlight=True)
        found |= {case.content[start:end] for start, end in hit.highlights["content"]}
    assert case.highlighted in found


def test_the_corpus_is_of_many_languages_and_scripts() -> None:
    assert len(CORPUS) >= 30
    assert sum(case.content.isascii() for case in CORPUS) <= 3
