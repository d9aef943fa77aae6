"""Pages in a real browser: the Chromium that is installed on the system."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Any

import pytest

__all__ = ["CHROMIUM", "needs_a_browser", "shown"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _why_not() -> str:
    """Return what is missing, or ''."""
    if find_spec("playwright") is None:
        return "playwright is not installed: make setup-bench"
    return "" if CHROMIUM else "no Chromium: on Debian, apt-get install chromium"


needs_a_browser = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "there is one")


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
