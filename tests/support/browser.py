"""Headless Chromium, driven by its own chromedriver: nothing is downloaded, nothing but the page is loaded."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


def available() -> bool:
    """Whether Debian's chromium and chromium-driver are installed."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """A page in a window of a given width (pixels) and colour scheme (light | dark)."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, page: Path, width: int, scheme: str, height: int = 900) -> None:
        self._driver.get("about:blank")
        self._read_log("browser")
        self._read_log("performance")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self._driver.get(page.resolve().as_uri())

    def ask(self, script: str) -> Any:
        """Value of a JavaScript function body."""
        return self._driver.execute_script(script)

    def console(self) -> list[str]:
        """What the page wrote to the console since it was opened."""
        return [entry["message"] for entry in self._read_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened."""
        events = [orjson.loads(entry["message"])["message"] for entry in self._read_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def picture(self, path: Path, height: int | None = None) -> None:
        """The page as a PNG file, whole or its first `height` pixels."""
        size = self.ask("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": size[0], "height": height or size[1], "scale": 1}
        asked = {"format": "png", "captureBeyondViewport": True, "clip": clip}
        path.write_bytes(base64.b64decode(self._driver.execute_cdp_cmd("Page.captureScreenshot", asked)["data"]))

    def _read_log(self, name: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._driver.get_log(name)
        return entries


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with a new profile in the empty folder `profile`."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
