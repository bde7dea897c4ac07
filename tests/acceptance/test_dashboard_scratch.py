from pathlib import Path
import time
from tests.browser import chromium
from tests.dashboard import served, PASSWORD


def test_scratch(postgres_url, redis_url, tmp_path):
    with served(postgres_url, redis_url, tmp_path, DASHBOARD_LEAK_AFTER="1") as site:
        try:
            site.uvicorn.get("hold/2")
            site.daphne.get("hold/4")
            site.daphne.get("wait/3")
            site.uvicorn.get("work/50")
            with chromium() as b:
                c = b.new_context(base_url=site.daphne.url, viewport={"width": 1280, "height": 900})
                page = c.new_page()
                page.on("console", lambda m: print(m.type, m.text))
                page.on("pageerror", lambda m: print("ERR", m))
                page.goto("/admin/login/?next=/admin/poolapp/")
                page.get_by_label("Username").fill("admin")
                page.get_by_label("Password").fill(PASSWORD)
                page.get_by_role("button", name="Log in").click()
                time.sleep(12)
                print(page.locator("#pools-link").inner_text())
                page.screenshot(path="/tmp/a.png", full_page=True)
                page.goto("/admin/poolapp/pool/default/")
                time.sleep(3)
                print(page.locator("#pools-link").inner_text())
                page.screenshot(path="/tmp/b.png", full_page=True)
                page.goto("/admin/poolapp/pool/default/resize/")
                page.screenshot(path="/tmp/c.png", full_page=True)
                page.get_by_role("button", name="Resize default").click()
                page.screenshot(path="/tmp/d.png", full_page=True)
        finally:
            for w in site.workers.values():
                print(w.name, w.log[-3000:])
