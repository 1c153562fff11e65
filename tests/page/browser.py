"""A runtime of its own and a headless Chromium that looks at its page."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

ROOT = pathlib.Path(__file__).parents[2]
BINARY = pathlib.Path(os.environ.get("EXECGO_RUNTIME_BIN", ROOT / "target/debug/execgo-runtime")).absolute()
CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
SOON = 30


class Server:
    """A runtime on a free port; it ends, with its directory, in `stop`."""

    def __init__(self, *flags):
        self.dir = tempfile.TemporaryDirectory(prefix="execgo-page-")
        log = pathlib.Path(self.dir.name) / "log"
        command = [BINARY, "serve", "--listen-addr", "127.0.0.1:0", "--data-dir", self.dir.name + "/data", *flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EXECGO_")}
        with log.open("w") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        until = time.monotonic() + SOON
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text())
            time.sleep(0.02)
        self.url = found.group()

    def post(self, path, body, **headers):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        request.add_header("content-type", "application/json")
        for name, value in headers.items():
            request.add_header(name, value)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def get(self, path):
        with urllib.request.urlopen(self.url + path) as answer:
            return json.load(answer)

    def submit(self, script, **more):
        request = {"execution": {"kind": "script", "script": script}, **more}
        return self.post("/api/v1/tasks", request)["task_id"]

    def ended(self, task_id):
        status = self.get(f"/api/v1/tasks/{task_id}?wait_ms={SOON * 1000}")
        assert status["status"] not in ("accepted", "running"), status
        return status

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(SOON)
        finally:
            self.process.kill()
            self.dir.cleanup()


class Browser:
    """One window."""

    def __init__(self):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        # As root Chromium has no sandbox of its own; it sees nothing but our page.
        for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.look()

    def look(self, width=1280, dark=False):
        """A window so wide, on a machine that likes the one theme or the other."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, url):
        # Not only another fragment: a new page.
        self.driver.get("about:blank")
        self.driver.get(url)

    def find(self, css):
        """The element, as soon as it is there to be seen."""
        return self.wait(lambda: next((it for it in self.all(css) if it.is_displayed()), None), css)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css="main"):
        return " ".join(element.text for element in self.all(css))

    def see(self, text, css="main"):
        self.wait(lambda: text in self.text(css), f"{text!r} in {css}")

    def wait(self, condition, what):
        try:
            return WebDriverWait(self.driver, SOON, ignored_exceptions=()).until(lambda _: attempt(condition))
        except Exception as error:
            raise AssertionError(f"no {what}; the page says: {self.text('body')[:2000]}") from error

    def console(self):
        """What the page complained of since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def accessibility_faults(self):
        """What axe-core finds that is serious, as text."""
        package = importlib.util.find_spec("axe_playwright_python").submodule_search_locations[0]
        # By the protocol, since the page's policy lets no other script in.
        source = (pathlib.Path(package) / "axe.min.js").read_text()
        self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": source})
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1]; axe.run(document).then(done, (e) => done({error: `${e}`}))"
        )
        assert "error" not in found, found
        serious = [it for it in found["violations"] if it["impact"] in ("serious", "critical")]
        return [f"{it['id']}: {node['html'][:200]} {node['failureSummary']}" for it in serious for node in it["nodes"]]

    def close(self):
        self.driver.quit()


def attempt(condition):
    """An element that is drawn anew in this moment is looked for again."""
    try:
        return condition()
    except Exception as error:  # noqa: BLE001
        if "stale element" in str(error):
            return None
        raise
