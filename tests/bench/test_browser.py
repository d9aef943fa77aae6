"""The page in a real browser: the Chromium that is installed on the system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import page, pictures
from bench.report import Report
from tests.browser import needs_a_browser, shown

pytestmark = needs_a_browser


@pytest.fixture
def address(some_report: Report, tmp_path: Path) -> str:
    file = tmp_path / "page.html"
    file.write_text(page.render(some_report, some_report), "utf-8")
    return file.as_uri()


@pytest.mark.parametrize("width", [320, 390, 1200])
async def test_it_fits_a_phone_and_a_desk(browser: Any, address: str, width: int) -> None:
    opened = await shown(browser, address, width, "light")
    assert await opened.evaluate("document.documentElement.scrollWidth") == width
    svgs = await opened.locator("svg").all()
    assert len(svgs) == 2
    for svg in svgs:
        box = await svg.bounding_box()
        assert box["width"] >= min(width, 320) - 40
        assert box["x"] + box["width"] <= width


async def test_letters_of_plots_can_be_read_on_a_phone(browser: Any, address: str) -> None:
    opened = await shown(browser, address, 390, "light")
    heights = await opened.evaluate(
        "[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().height)"
    )
    assert len(heights) > 10
    assert min(heights) >= 10


async def test_plots_take_the_colours_of_a_dark_page(browser: Any, address: str) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        opened = await shown(browser, address, 390, scheme)
        colours[scheme] = await opened.evaluate("""() => {
            const of = (name, element) => getComputedStyle(document.querySelector(element))[name];
            return [of("backgroundColor", "body"), of("color", "body"), of("fill", "svg text")];
        }""")
        assert colours[scheme][1] == colours[scheme][2]
    assert all(light != dark for light, dark in zip(colours["light"], colours["dark"], strict=True))


async def test_a_plot_of_the_documentation_has_a_ground_of_its_own(
    browser: Any, some_report: Report, tmp_path: Path
) -> None:
    pictures.write(some_report, tmp_path)
    corners = []
    for scheme in ("light", "dark"):
        opened = await browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        await opened.goto((tmp_path / "single.svg").as_uri())
        style = "getComputedStyle(document.documentElement)"
        corners.append(await opened.evaluate(f"[{style}.backgroundColor, {style}.color]"))
    (light, dark), (on_light, on_dark) = zip(*corners, strict=True)
    assert len({light, dark, on_light, on_dark}) == 4


async def test_a_plot_of_the_documentation_fits_a_phone(browser: Any, some_report: Report, tmp_path: Path) -> None:
    pictures.write(some_report, tmp_path)
    (tmp_path / "doc.html").write_text('<img src="single.svg" style="max-width: 100%">', "utf-8")
    opened = await browser.new_page(viewport={"width": 390, "height": 844})
    await opened.goto((tmp_path / "doc.html").as_uri())
    assert await opened.evaluate("document.images[0].naturalWidth") == 540
    assert await opened.evaluate("document.documentElement.scrollWidth") == 390
