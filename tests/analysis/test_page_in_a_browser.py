"""The report in a real browser: the Chromium that is installed on the system."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import async_playwright

from agentmem_store import analysis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from agentmem_store.database import Database

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.own_sessions,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: on Debian, apt-get install chromium"),
]


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


async def shown(browser: Any, address: str, width: int, scheme: str) -> Any:
    """Open the page, and fail on whatever it asks for beside itself, or complains about."""
    opened = await browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    noise: list[str] = []
    opened.on("request", lambda request: noise.append(request.url))
    opened.on("console", lambda message: noise.append(message.text))
    opened.on("pageerror", lambda error: noise.append(str(error)))
    await opened.goto(address)
    assert noise == [address]
    return opened


async def test_the_report_fits_a_phone_and_a_desk(browser: Any, busy: Database, tmp_path: Path) -> None:
    """With every plan open nothing is wider than the window, and the page looks as its reader has it: light or dark."""
    file = tmp_path / "page.html"
    file.write_text(await analysis.report(busy), "utf-8")
    grounds, pictures = set(), set()
    for width, scheme in ((390, "light"), (390, "dark"), (1200, "light")):
        opened = await shown(browser, file.as_uri(), width, scheme)
        assert await opened.locator("details[open] .tree .node").first.is_visible(), "the slowest query's plan"
        await opened.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert await opened.evaluate("document.documentElement.scrollWidth") == width
        table = await opened.locator("table").bounding_box()
        assert table["x"] + table["width"] <= width
        grounds.add(await opened.evaluate("getComputedStyle(document.body).backgroundColor"))
        pictures.add(await opened.screenshot())
    assert len(grounds) == 2
    assert len(pictures) == 3
