"""One who looks at the page: a headless Chromium, and what it saw go wrong."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, Request, async_playwright, expect

# The first is the smallest: a browser without a window to show.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), None)
PATIENCE_MS = 30_000
Scheme = Literal["light", "dark"]
WIDE, NARROW = (1280, 900), (360, 740)

expect.set_options(timeout=PATIENCE_MS)

# Kept from the first script on: what the policy forbade.
_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""

# Of each text that can be seen: its contrast with what is behind it.
_CONTRASTS = """() => {
  const colour = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255).map(
      (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement) {
      const ground = colour(getComputedStyle(each).backgroundColor);
      if (ground.a > 0) layers.push(ground);
      if (ground.a === 1) break;
    }
    return layers.reverse().reduce(
      (under, over) => under.map((c, i) => over.rgb[i] * over.a + c * (1 - over.a)),
      [255, 255, 255]);
  };
  const seen = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const parent = text.parentElement;
    if (!text.data.trim() || parent.closest("script, style, noscript, .unseen")) continue;
    if (!parent.checkVisibility()) continue;
    const style = getComputedStyle(parent);
    const ink = colour(parent instanceof SVGElement ? style.fill : style.color);
    const [one, other] = [light(ink.rgb), light(behind(parent))].sort((a, b) => b - a);
    seen.push([(one + 0.05) / (other + 0.05), text.data.trim().slice(0, 60)]);
  }
  return seen;
}"""

# What has the focus: what it is, and whether one sees that it has it.
_FOCUSED = """() => {
  const it = document.activeElement;
  const shown = it.type === "radio" ? it.nextElementSibling : it;
  const style = getComputedStyle(shown);
  const isVisible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return [it.id || it.getAttribute("aria-label") || it.textContent.trim() || it.value, isVisible];
}"""


@dataclass(kw_only=True)
class Visit:
    """One tab, and what it asked for and complained of."""

    page: Page
    url: str
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def go(self, fragment: str = "") -> None:
        """Open the page, and wait until it has looked for the first time."""
        await self.page.goto(f"{self.url}/{fragment}")
        await expect(self.page.locator("#refreshed")).not_to_have_text("Asking…")

    async def look_again(self, *, is_offline: bool = False) -> None:
        """Have it look now, instead of waiting until it does."""
        await self.page.context.set_offline(is_offline)
        await self.page.evaluate("refresh()")

    async def give_token(self, token: str) -> None:
        await self.page.locator("#access summary").click()
        await self.page.locator("#token").fill(token)
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator("#token-said")).to_contain_text("The server")

    async def find(self, wanted: str) -> None:
        await self.page.locator("#searched").fill(wanted)
        await self.page.keyboard.press("Enter")

    async def focused(self) -> tuple[str, bool]:
        """What has the focus, and whether that can be seen."""
        name, is_visible = await self.page.evaluate(_FOCUSED)
        return name, is_visible

    async def contrasts(self) -> list[tuple[float, str]]:
        """Of all that can be read, the lowest first."""
        return sorted((ratio, text) for ratio, text in await self.page.evaluate(_CONTRASTS))

    async def violations(self) -> list[str]:
        violations: list[str] = await self.page.evaluate("window.violations")
        return violations

    async def is_too_wide(self) -> bool:
        too_wide: bool = await self.page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        return too_wide

    def strangers(self) -> list[str]:
        """Requests that went elsewhere."""
        own = urlsplit(self.url).netloc
        return [r.url for r in self.requests if urlsplit(r.url).netloc not in {own, ""}]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the system's browser; it ends with the block."""
    # Its sandbox does not let root in.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--disable-dev-shm-usage", *arguments]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visiting(
    browser: Browser, url: str, *, size: tuple[int, int] = WIDE, scheme: Scheme = "light"
) -> AsyncIterator[Visit]:
    """Open a tab of its own, without anybody else's storage."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    context.set_default_timeout(PATIENCE_MS)
    await context.add_init_script(_VIOLATIONS)
    page = await context.new_page()
    visit = Visit(page=page, url=url)
    page.on("request", lambda request: visit.requests.append(request))  # noqa: PLW0108 - it wants one
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    page.on("console", lambda said: visit.complaints.append(f"{said.type}: {said.text}"))
    try:
        yield visit
    finally:
        await context.close()
