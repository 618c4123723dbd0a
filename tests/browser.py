"""A Chromium of this machine, for pages as their readers see them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DESKTOP, PHONE = 1300, 390


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser that reads nothing but files; skips where there is none.

    Yields:
        Playwright's browser.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(_NAMES)} is installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=program,
            # Root has no sandbox; containers have little shared memory.
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"],
            timeout=120_000,
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, *, width: int = DESKTOP, **options: Any) -> Iterator[Any]:
    """A page in a window of its own, with everything in it unfolded.

    Args:
        browser: of ``chromium``.
        path: of the page.
        width: of the window, pixels.
        options: of Playwright's context.

    Yields:
        Playwright's page.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    context.set_default_timeout(120_000)
    page = context.new_page()
    messages: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(path.as_uri())
    if options.get("java_script_enabled", True):
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    yield page
    assert messages == []
    context.close()


def violations(page: Any) -> list[str]:
    """What axe-core objects to, with the first element of each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    results = axe.Axe().run(page).response
    # It has looked at the page.
    assert len(results["passes"]) > 15
    return [
        f"{entry['id']}: {entry['help']}: {len(entry['nodes'])}: {entry['nodes'][0]['html']}"
        for entry in results["violations"]
    ]


def check_page(browser: Any, path: Path, folder: Path) -> None:
    """Nothing to object to in a page, at the width of a desk and of a phone, light and dark.

    Args:
        browser: of ``chromium``.
        path: of the page.
        folder: for screenshots.
    """
    with opened(browser, path) as page:
        # Axe takes seconds: it looks at both schemes and both widths, but not at all four pairs.
        for scheme, widths in (("light", (PHONE, DESKTOP)), ("dark", (DESKTOP, PHONE))):
            page.emulate_media(color_scheme=scheme)
            for width in widths:
                page.set_viewport_size({"width": width, "height": 900})
                page.screenshot(path=folder / f"{path.stem}-{width}-{scheme}.png", full_page=True)
                assert page.evaluate("document.documentElement.scrollWidth") == width
                # What is wider than the window scrolls in a box of its own.
                assert page.evaluate(_BEYOND) == []
            assert violations(page) == [], f"{path.name}, {width} pixels, {scheme}"


def check_tables(path: Path) -> None:
    """Tables and figures of a page fit into it at the width of a desk; skips without a browser."""
    with chromium() as browser, opened(browser, path) as page:
        assert page.evaluate(_SCROLLING) == []


_BEYOND = """
[...document.querySelectorAll("body *")].filter((element) => {
  const box = element.getBoundingClientRect();
  if (!box.width || box.right <= innerWidth + 1) return false;
  for (let node = element.parentElement; node; node = node.parentElement) {
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(node).overflowX)) return false;
  }
  return !element.matches(".skip");
}).map((element) => element.outerHTML.slice(0, 120))
"""
# What does not fit into the page, by its label.
_SCROLLING = """
[...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth)
  .map((box) => box.getAttribute("aria-label"))
"""
