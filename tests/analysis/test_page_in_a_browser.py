"""The report in a real browser: the Chromium that is installed on the system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentmem_store import analysis
from tests.browser import needs_a_browser, shown

if TYPE_CHECKING:
    from pathlib import Path

    from agentmem_store.database import Database

pytestmark = needs_a_browser


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
