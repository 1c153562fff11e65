"""Pictures of the page's main states, to be looked at: `just screenshots DIR`."""

import base64
import pathlib
import sys

from browser import Browser, Server

SIZES = [(1280, False), (1280, True), (390, False), (390, True)]


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    empty, busy = Server(), Server("--max-running-tasks", "2", "--disable-linux-sandbox")
    try:
        colours = r"for i in 1 2 3 4 5 6; do printf '\033[3%dmcolour %d\033[0m\n' $i $i; done; seq 1 100"
        busy.ended(busy.submit(colours, task_id="colours"))
        busy.ended(busy.submit("echo before; exit 3", task_id="fails", metadata={"job": "nightly"}))
        busy.ended(busy.submit("true", task_id="degraded", sandbox={"profile": "linux_sandbox"}))
        script = "n=0; while :; do n=$((n + 1)); echo line $n; sleep 0.1; done"
        busy.submit(script, task_id="live", limits={"memory_bytes": 64 << 20})
        busy.submit("sleep 600", task_id="other")
        busy.submit("true", task_id="waits")
        pages = [
            ("empty", empty, ""),
            ("overview", busy, ""),
            ("list", busy, "/#/tasks"),
            ("live", busy, "/#/tasks/live"),
            ("failed", busy, "/#/tasks/fails"),
            ("degraded", busy, "/#/tasks/degraded"),
            ("error", busy, "/#/tasks/none"),
            ("submit", busy, "/#/submit"),
            ("machine", busy, "/#/machine"),
        ]
        for name, server, path in pages:
            for width, dark in SIZES:
                browser.look(width, dark)
                browser.open(server.url + path)
                browser.wait(lambda: len(browser.all("main > *")) > 0 and browser.text("#link") == "connected", name)
                if name == "live":
                    browser.see("line", ".pane")
                picture = folder / f"{name}-{width}-{'dark' if dark else 'light'}.png"
                shot = {"captureBeyondViewport": True, "format": "png"}
                data = browser.driver.execute_cdp_cmd("Page.captureScreenshot", shot)["data"]
                picture.write_bytes(base64.b64decode(data))
                print(picture)
    finally:
        browser.close()
        empty.stop()
        busy.stop()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
