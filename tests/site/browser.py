"""A page in headless Chromium, driven by its own protocol: what tests of pages that move need of a browser."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from contextlib import contextmanager

from tornado.websocket import websocket_connect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-port=0",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
)  # fmt: skip


class Page:
    """One page; what it says on its console and what it fetches is kept."""

    def __init__(self, socket, loop) -> None:
        self._socket, self._loop, self._number = socket, loop, 0
        self.console, self.fetched, self.traced = [], [], []

    def send(self, method, **given):
        """A command of Chromium's protocol, and its result."""
        self._number += 1
        self._socket.write_message(json.dumps({"id": self._number, "method": method, "params": given}))
        while True:
            told = self._next(60)
            if told.get("id") == self._number:
                assert "error" not in told, (method, told["error"])
                return told["result"]

    def _next(self, seconds):
        async def read():
            return await asyncio.wait_for(self._socket.read_message(), seconds)

        told = json.loads(self._loop.run_until_complete(read()))
        given = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            self.console.append(given["exceptionDetails"].get("exception", {}).get("description", "exception"))
        if told.get("method") == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning"):
            self.console.append(str(given["args"]))
        if told.get("method") == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.console.append(given["entry"]["text"])
        if told.get("method") == "Network.requestWillBeSent":
            self.fetched.append(given["request"]["url"])
        if told.get("method") == "Tracing.dataCollected":
            self.traced += given["value"]
        return told

    def open(self, address):
        """Load a page and wait for its scripts."""
        self.send("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def evaluate(self, expression):
        """The value of an expression of JavaScript."""
        given = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in given, given["exceptionDetails"]
        return given["result"].get("value")

    def until(self, expression, seconds=120.0):
        """Wait until it is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"not true within {seconds} s: {expression}"
            time.sleep(0.05)

    def press(self, key, **more):
        """A key, as a keyboard sends it."""
        codes = {
            "Tab": 9,
            "Enter": 13,
            " ": 32,
            "ArrowLeft": 37,
            "ArrowRight": 39,
            "Home": 36,
            "End": 35,
            "ArrowDown": 40,
        }
        text = {"Enter": "\r", " ": " "}.get(key)
        given = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": codes[key]} | more
        self.send("Input.dispatchKeyEvent", type="keyDown", **given, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **given)

    def size(self, width, height=900):
        """The window's."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def emulate(self, **features):
        """Media features, such as prefers_reduced_motion="reduce"."""
        told = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=told)

    @contextmanager
    def tracing(self):
        """Threads are watched: afterwards `tasks` and `longest_task` have an answer."""
        self.traced = []
        self.send("Tracing.start", transferMode="ReportEvents", categories="toplevel,__metadata")
        yield
        self.send("Tracing.end")
        while self._next(60).get("method") != "Tracing.tracingComplete":
            pass

    def tasks(self, thread):
        """Milliseconds of processor time of each task on the threads of a name."""
        named = [one for one in self.traced if one["name"] == "thread_name" and one["args"]["name"].startswith(thread)]
        threads = {(one["pid"], one["tid"]) for one in named}
        found = [one for one in self.traced if one["name"].endswith("RunTask") and "tdur" in one]
        spent = [one["tdur"] / 1000 for one in found if (one["pid"], one["tid"]) in threads]
        assert spent, f"no task of {thread} was traced"
        return spent

    def longest_task(self):
        """Milliseconds of processor time that the longest task took on the thread of a page."""
        return max(self.tasks("CrRendererMain"))


@contextmanager
def browser(folder, *options):
    """A page in a Chromium whose profile lies in ``folder``."""
    command = [CHROMIUM, *OPTIONS, *options, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    loop, socket = asyncio.new_event_loop(), None
    try:
        port = next(found[1] for line in process.stderr if (found := re.search(r"ws://127\.0\.0\.1:(\d+)/", line)))
        address = loop.run_until_complete(_first_page(port))
        socket = loop.run_until_complete(_connected(address))
        page = Page(socket, loop)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        yield page
    finally:
        if socket:
            socket.close()
        process.kill()
        process.wait()
        process.stderr.close()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()


async def _first_page(port):
    """The socket's address of the browser's one page."""
    from tornado.httpclient import AsyncHTTPClient

    for _ in range(100):
        told = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json/list")
        pages = [one for one in json.loads(told.body) if one["type"] == "page"]
        if pages:
            return pages[0]["webSocketDebuggerUrl"]
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium opened no page")


async def _connected(address):
    return await websocket_connect(address, max_message_size=2**28)


def alone(page):
    """A staged page of the book as a page of its own: the HTML that stands in it, beside it; its path."""
    inside = "".join(re.findall(r"^```\{raw\} html\n(.*?)```$", page.read_text(encoding="utf-8"), re.S | re.M))
    head = '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>A page</title>'
    path = page.with_suffix(".html")
    path.write_text(f"{head}<body>{inside}</body></html>", encoding="utf-8")
    return path
