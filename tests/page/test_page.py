"""The page for people, end to end: `just test-page`."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from browser import BINARY, CHROMIUM, DRIVER, Browser, Server
from selenium.webdriver.common.keys import Keys

MISSING = next((what for what, there in [("chromium", CHROMIUM), ("chromedriver", DRIVER)] if not there), None)
if MISSING:
    print(f"SKIPPED: no {MISSING} here (Debian: chromium, chromium-driver)", file=sys.stderr)


@unittest.skipIf(MISSING, "no Chromium")
class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.addClassCleanup(cls.browser.close)

    def serve(self, *flags):
        server = Server(*flags)
        self.addCleanup(server.stop)
        self.browser.look()
        self.browser.console()
        return server

    def quiet(self):
        """The page complained of nothing and can be used by everybody."""
        self.assertEqual(self.browser.console(), [])
        self.assertEqual(self.browser.accessibility_faults(), [])

    def test_nothing_is_there_yet(self):
        server = self.serve()
        self.browser.open(server.url)
        self.browser.see("No tasks yet.")
        self.browser.see("Nothing runs.")
        self.quiet()
        self.browser.open(server.url + "/#/tasks")
        self.browser.see("No tasks yet.")
        self.browser.open(server.url + "/#/nowhere")
        self.browser.see("There is no page /nowhere.")
        self.quiet()

    def test_a_task_is_submitted_and_its_output_arrives_while_it_runs(self):
        server = self.serve()
        gate = pathlib.Path(server.dir.name) / "gate"
        self.browser.open(server.url + "/#/submit")
        self.browser.find("#text").send_keys(f"echo early; until [ -e {gate} ]; do sleep 0.05; done; echo late; exit 3")
        self.assertIn("echo early", self.browser.text("#curl"))
        self.quiet()
        self.browser.find("#submit").click()
        self.browser.see("early", ".pane")
        self.browser.see("running", ".facts")
        self.assertNotIn("late", self.browser.text(".pane"))
        gate.touch()
        self.browser.see("late", ".pane")
        self.browser.see("exited with code 3")
        self.browser.see("running", ".legend")
        self.quiet()

    def test_a_task_is_killed(self):
        server = self.serve()
        owned = server.submit("sleep 600", control_context={"owner": "zoe"})
        self.browser.open(f"{server.url}/#/tasks/{owned}")
        self.browser.see("running", ".facts")
        self.browser.find("#kill").click()
        self.browser.find("[aria-label='Owner of the task']").send_keys("zoe")
        self.browser.find("#kill").click()
        self.browser.see("cancelled", ".facts")
        self.assertEqual(server.ended(owned)["status"], "cancelled")

    def test_a_task_is_submitted_again(self):
        server = self.serve()
        first = server.submit("echo $WORD", metadata={"job": "nightly"}, limits={"wall_time_ms": 9000})
        server.ended(first)
        request = server.get(f"/api/v1/tasks/{first}/request")
        self.browser.open(f"{server.url}/#/tasks/{first}")
        self.browser.find("a.button").click()
        self.browser.see("again", "h1")
        self.browser.find("#submit").click()
        self.browser.wait(lambda: "/tasks/" in self.browser.driver.current_url, "the new task")
        self.browser.see("success", ".facts")
        second = self.browser.driver.current_url.rsplit("/", 1)[1]
        again = server.get(f"/api/v1/tasks/{second}/request")
        self.assertNotEqual(first, second)
        # The form says which sandbox.
        self.assertEqual({**request, "task_id": second, "sandbox": {"profile": "process"}}, again)

    def test_tasks_are_found(self):
        server = self.serve()
        for number in range(60):
            server.submit("true", task_id=f"many-{number}")
        server.ended(server.submit("exit 1", task_id="odd"))
        self.browser.open(server.url + "/#/tasks")
        self.browser.see("odd", "tbody")
        self.assertEqual(len(self.browser.all("tbody tr")), 50)
        more = next(button for button in self.browser.all("main button") if button.text == "Show more")
        more.click()
        self.browser.wait(lambda: len(self.browser.all("tbody tr")) == 61, "all tasks")
        self.browser.find("[name=status]").send_keys("failed")
        self.browser.find("form.filter button").click()
        self.browser.wait(lambda: len(self.browser.all("tbody tr")) == 1, "the one")
        self.browser.see("exit non zero", "tbody")
        self.quiet()

    def test_the_overview_follows_what_happens(self):
        server = self.serve("--max-running-tasks", "1")
        self.browser.open(server.url)
        self.browser.see("No tasks yet.")
        running = server.submit("sleep 600", task_id="runs")
        server.submit("true", task_id="waits")
        self.browser.see("1 / 1", ".gauges")
        self.browser.see("1", "#waiting")
        self.browser.see("waits", "tbody")
        server.post(f"/api/v1/tasks/{running}/kill", {})
        self.browser.see("0 / 1", ".gauges")
        self.quiet()

    def test_a_degraded_plan_is_explained(self):
        server = self.serve("--disable-linux-sandbox")
        task = server.submit("true", sandbox={"profile": "linux_sandbox"})
        self.browser.open(f"{server.url}/#/tasks/{task}")
        self.browser.see("Degraded:")
        self.browser.see("✗ process")
        self.quiet()

    def test_what_a_task_writes_is_text(self):
        server = self.serve()
        script = r"printf '<b id=evil>x</b>\033[31mred\033[0m\033]0;title\007 plain\n'; echo loud >&2"
        task = server.submit(script)
        server.ended(task)
        self.browser.open(f"{server.url}/#/tasks/{task}")
        self.browser.see("<b id=evil>x</b>red plain", ".pane")
        self.assertEqual(self.browser.all("#evil"), [])
        self.assertEqual(self.browser.text(".a-ink-1"), "red")
        tab = self.browser.find("#tab-stdout")
        tab.click()
        tab.send_keys(Keys.ARROW_RIGHT)
        self.browser.see("loud", ".pane")
        self.browser.find("#tab-stdout").click()
        self.browser.find("[aria-label='Search the output']").send_keys("RED")
        self.browser.see("1 of 1", ".output")
        self.quiet()

    def test_a_token_is_asked_for_and_a_wrong_one_refused(self):
        made = json.loads(subprocess.check_output([BINARY, "token", "page", "--role", "admin", "--output", "json"]))
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as tokens:
            json.dump({"tokens": [made["entry"]]}, tokens)
            tokens.flush()
            server = self.serve("--tokens-file", tokens.name)
            self.browser.open(server.url)
            self.browser.see("a token is needed", "dialog")
            self.use_token("wrong")
            self.browser.see("not known", "dialog")
            self.use_token(made["token"])
            self.browser.see("No tasks yet.")
        # Each refusal is told there by the browser itself.
        self.assertTrue(all(" 401 " in message for message in self.browser.console()))
        self.assertEqual(self.browser.accessibility_faults(), [])

    def use_token(self, token):
        field = self.browser.find("#token-value")
        field.clear()
        field.send_keys(token, Keys.ENTER)

    def test_it_is_narrow_and_dark_too(self):
        server = self.serve()
        task = server.submit("seq 1 200")
        server.ended(task)
        for path in ["", f"/#/tasks/{task}", "/#/tasks", "/#/submit", "/#/machine"]:
            for width, dark in [(390, False), (390, True), (1280, True)]:
                self.browser.look(width, dark)
                self.browser.open(server.url + path)
                self.browser.find("h1")
                self.browser.wait(lambda: "connected" in self.browser.text("#link"), "an answer")
                wide = self.browser.driver.execute_script("return document.documentElement.scrollWidth")
                self.assertLessEqual(wide, width, path)
                self.quiet()


if __name__ == "__main__":
    unittest.main()
