import asyncio, sys, tempfile, os, signal, itertools
from pathlib import Path
import aiohttp, psutil
from tests.acceptance.servers.rows import *
from tests.acceptance.servers.processes import started
from tests.acceptance.servers.watching import watching, SETTINGS
from tests.real import eventually

async def one(row, end, server, redis_url, verbose):
    name = f"{row.name}-{end}-{os.getpid()}"
    env = {"SERVED_NAME": name, "SERVED_POSTGRES_URL": server.url, "SERVED_REDIS_URL": redis_url, **row.environment}
    with tempfile.TemporaryDirectory() as folder:
        async with watching(name, server, redis_url) as watch, started(row.arguments, env, Path(folder)) as p:
            try:
                await p.until_ready()
                async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as s:
                    async def get(path):
                        async with s.get(f"{p.url}/{path}") as r:
                            return r.status, (await r.json() if r.status == 200 else await r.text())
                    async with watch.gate_shut():
                        tasks = [asyncio.create_task(get(path)) for path, _ in zip(itertools.cycle(row.paths), range(20))]
                        try:
                            await eventually(lambda: at(watch, row), within=5)
                        except TimeoutError:
                            print("  at gate", await watch.at_gate())
                    answers = await asyncio.gather(*tasks)
                bad = [a for a in answers if a[0] != 200]
                loops = max((a[1]["loops"] for a in answers if a[0]==200), default=None)
                print(f"{name}: bad={len(bad)} loops={loops}/{row.loops} sessions={await watch.sessions()} clients={await watch.clients()}", flush=True)
                fam = p.family()
                if end == INT: p.press_ctrl_c()
                elif end in (RELOAD, HUP): 
                    p.send(signal.SIGHUP)
                    await asyncio.sleep(2)
                    print("  after HUP sessions", await watch.sessions(), await watch.hellos())
                    p.send(signal.SIGTERM)
                else: p.send(signal.Signals[end])
                code = await p.end()
                _, alive = psutil.wait_procs(fam, timeout=3)
                try: await watch.until_gone()
                except TimeoutError: print("  NOT GONE", await watch.sessions(), await watch.clients())
                rude = await watch.rude()
                print(f"  code={code} expected={row.ends[end]} opened={len(await watch.opened())} rude={len(rude)} hello={await watch.hellos()} bye_missing={len(await watch.without_goodbye())} alive={alive}", flush=True)
                words = [w for w in ("Event loop is closed","ResourceWarning","Task was destroyed","never retrieved","Traceback") if w in p.log]
                print("  words", words)
                if verbose or words: print("   | " + "\n   | ".join(p.log.splitlines()[-60:]))
            except Exception as e:
                print(name, "FAILED", repr(e)); print(p.log[-4000:])

async def at(watch, row): return await watch.at_gate() >= row.at_once

def test_explore(request, server_urls):
    from tests.servers import SESSION
    server = request.config.stash[SESSION].postgres("explore", SETTINGS)
    want = os.environ.get("ROWS","").split(",")
    for row in SERVERS:
        if want != [""] and row.name not in want: continue
        for end in row.ends:
            asyncio.run(one(row, end, server, server_urls["redis"], "V" in os.environ))
    server.discard()
