"""The playground in Chromium: how long a training takes there, and for how long its page is held."""

import tempfile
from pathlib import Path

from tests.site.browser import CHROMIUM, browser
from tests.site.test_playground import BEGUN, EPOCH, address, click, playground_in, run_until


def playground_benchmark(report) -> None:
    """Digits 7 v 9 at width 128, observed after each epoch; the page's longest task at a fourth of the speed."""
    if not CHROMIUM:
        print("playground: needs Chromium")
        return
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder) / "profile") as page:
        site = playground_in(Path(folder) / "site")
        page.size(1300)
        page.open(address(site))
        page.until(BEGUN)
        with page.tracing():
            click(page, "run")
            page.until(f"{EPOCH} === 200")
        seconds = sum(page.tasks("DedicatedWorker")) / 1000
        report("playground: 200 epochs, observed after each", seconds, " s", "<= 8", "processor time of the Worker")
        page.send("Emulation.setCPUThrottlingRate", rate=4)
        for what, link, gone in (("", "", ""), (", no Worker", "?classes=ten&width=32", "delete window.Worker;")):
            page.send("Page.addScriptToEvaluateOnNewDocument", source=gone or ";")
            page.open("about:blank")
            page.open(address(site, link=link))
            page.until(BEGUN)
            with page.tracing():
                run_until(page, 3 if gone else 60)
            detail = "a fourth of the speed, processor time"
            report(f"playground: longest task of the page{what}", page.longest_task(), " ms", "<= 50", detail)
