"""What axe-core says about a page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Page

__all__ = ["faults", "needs_axe"]

AXE = find_spec("axe_playwright_python")
"""The package that brings axe.min.js of axe-core along."""

needs_axe = pytest.mark.skipif(AXE is None, reason="not installed: axe-playwright-python")


async def faults(page: Page) -> list[str]:
    """What axe-core finds serious or worse. The page must have been opened with its policy bypassed."""
    assert AXE is not None
    assert AXE.origin is not None
    await page.add_script_tag(path=Path(AXE.origin).with_name("axe.min.js"))
    found: dict[str, Any] = await page.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
