# SPDX-License-Identifier: Apache-2.0
"""The chat page in a real browser (Debian's chromium, PyPI's selenium): send, stream, stop, edit, branch, regenerate,
continue, side by side, prove, reload, injection, labels, export; nothing is asked of another host, the page's rules are
never broken. Writes screenshots of three widths.

    python3 test/clients/page.py http://127.0.0.1:8080 FOLDER
"""
import json
import os
import sys
import time
import urllib.parse

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

BASE, SHOTS = sys.argv[1].rstrip("/"), sys.argv[2]
EVIL = "<script>window.broken=1</script><img src=x onerror=window.broken=1> [a](javascript:alert(1)) </textarea>"


def browser():
    o = webdriver.ChromeOptions()
    o.binary_location = "/usr/bin/chromium"
    for a in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
              "--disable-component-update", "--no-first-run", "--disable-sync"):
        o.add_argument(a)
    o.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=o, service=webdriver.ChromeService("/usr/bin/chromedriver"))


d = browser()
checks = 0


def passed(name):
    global checks
    checks += 1
    print("ok", name, flush=True)


def css(sel):
    return d.find_elements(By.CSS_SELECTOR, sel)


def one(sel):
    return d.find_element(By.CSS_SELECTOR, sel)


def until(what, why, seconds=60):
    WebDriverWait(d, seconds, 0.1, ignored_exceptions=[Exception]).until(lambda _: what(), why)


def idle():
    return one("#stop").get_attribute("hidden") is not None and not d.execute_script("return running.size")


def press(turn, name):
    next(b for b in turn.find_elements(By.TAG_NAME, "button") if b.text == name or b.get_attribute("aria-label") == name).click()


def set_field(id, value):
    d.execute_script("const e=document.getElementById(arguments[0]); e.value=arguments[1]; e.dispatchEvent(new Event('change'))", id, value)


def send(text):
    d.execute_script("document.getElementById('text').value=arguments[0]", text)
    one("#send").click()


def turns(kind="assistant"):
    return css(".turn." + kind)


def say_and_wait(text):
    send(text)
    until(lambda: turns() and idle(), "an answer")


def test_send_stream_stop():
    one("#new").click()
    set_field("max_tokens", "12")
    set_field("seed", "5")
    say_and_wait("Hello")
    assert turns()[-1].find_element(By.CSS_SELECTOR, ".body").text, "no text"
    assert "seed 5" in turns()[-1].text
    passed("send and stream")
    set_field("max_tokens", "1500")
    send("Write a long story of a ship.")
    until(lambda: len(turns()[-1].find_element(By.CSS_SELECTOR, ".body").text) > 20, "text that grows")
    one("#stop").click()
    until(idle, "the stop")
    assert "stopped" in turns()[-1].text
    passed("stop")
    set_field("max_tokens", "12")


def test_continue():
    before = d.execute_script("return now.messages.at(-1).content.length")
    press(turns()[-1], "Continue")
    until(lambda: idle() and d.execute_script("return now.messages.at(-1).content.length") > before, "more text")
    passed("continue")


def test_branches():
    press(turns("user")[0], "Edit")
    area = one(".turn .edit")
    area.clear()
    area.send_keys("Hello again")
    area.send_keys(Keys.CONTROL, Keys.ENTER)
    until(lambda: idle() and turns(), "the edited branch")
    assert turns("user")[0].find_element(By.CSS_SELECTOR, ".body").text == "Hello again"
    assert one(".branch").text.replace("\n", "").find("2/2") >= 0, one(".branch").text
    press(turns("user")[0], "Branch before")
    assert turns("user")[0].find_element(By.CSS_SELECTOR, ".body").text == "Hello"
    assert len(turns("user")) == 2, "the old branch is whole"
    press(turns("user")[0], "Next branch")
    passed("edit and branch")
    first = d.execute_script("return pathOf(now).at(-1).content")
    press(turns()[-1], "Regenerate")
    until(lambda: idle() and d.execute_script("return pathOf(now).at(-1).seed !== undefined"), "another answer")
    assert d.execute_script("return pathOf(now).at(-1).content") == first, "one seed, one answer"
    passed("regenerate: the same seed gives the same answer")


def test_prove():
    set_field("chip", "cpu:scalar")
    press(turns()[-1], "Prove")
    until(lambda: css(".proof"), "a proof", 300)
    assert "IDENTICAL" in one(".proof").text, one(".proof").text
    passed("prove: " + one(".proof").text.split("\n")[0])


def test_injection():
    set_field("system", EVIL)
    say_and_wait(EVIL)
    set_field("system", "")
    d.execute_script("""const m = now.messages.at(-1); m.content = arguments[0]; m.reasoning = arguments[0]; m.model = arguments[0];
        now.title = arguments[0]; show();""", EVIL)
    time.sleep(0.3)
    assert not d.execute_script("return window.broken"), "a script ran"
    assert not css("#log script, #log img, #chats img, a[href^=javascript]"), "markup from text"
    assert EVIL in turns("user")[-1].text
    passed("injected scripts stay text, in prompt, answer, thought, model name and title")


def test_markdown():
    text = ("# T\n\n| a | b |\n|---|--:|\n| 1 | `x` |\n\n```py\nprint('<b>')\n```\n\n1. one\n2. two\n\n**b** and *e* "
            "and [l](https://example.org/x)\n\n> q\n\n---\n")
    d.execute_script("const m = now.messages.at(-1); m.content = arguments[0]; m.reasoning = 'because'; m.thought_s = 1.5;"
                     "m.model = 'a model'; now.title='Shown'; show();", text)
    body = turns()[-1].find_element(By.CSS_SELECTOR, ".body")
    assert len(body.find_elements(By.CSS_SELECTOR, "table tr")) == 2
    assert body.find_element(By.CSS_SELECTOR, "td.right code").text == "x"
    assert body.find_element(By.CSS_SELECTOR, "pre code").text == "print('<b>')"
    assert body.find_element(By.TAG_NAME, "a").get_attribute("rel") == "noopener noreferrer"
    fold = turns()[-1].find_element(By.TAG_NAME, "details")
    assert fold.get_attribute("open") is None
    fold.find_element(By.TAG_NAME, "summary").click()
    assert fold.get_attribute("open") is not None
    passed("tables, code, lists, links, a thought that folds")


def test_side_by_side():
    one("#model").click()
    for box in css("#models input"):
        if not box.is_selected() and "nothink" not in box.find_element(By.XPATH, "..").text:
            box.click()
    one("#model").click()
    one("#new").click()
    say_and_wait("Name a colour")
    assert len(css(".side .turn")) == 2, "two answers"
    press(css(".side .turn")[1], "Go on from this one")
    assert "chosen" in css(".side .turn")[1].get_attribute("class")
    press(css(".side .turn")[0], "Go on from this one")
    passed("two models side by side")
    d.save_screenshot(os.path.join(SHOTS, "side-1400.png"))
    one("#model").click()
    css("#models input:checked")[-1].click()
    one("#model").click()


def test_kept():
    title = d.execute_script("return now.title")
    kept = d.execute_script("return now.kept === true")
    press(one(".side .turn.chosen"), "Good answer")
    time.sleep(0.5)
    path = d.execute_script("return pathOf(now).map((m) => m.content)")
    d.refresh()
    until(lambda: d.execute_script("return now && now.messages.length > 0 && models.length > 0"), "the conversation after a reload")
    assert d.execute_script("return now.title") == title
    assert d.execute_script("return pathOf(now).map((m) => m.content)") == path
    assert d.execute_script("return pathOf(now).at(-1).label") is True
    passed("reload: the conversation is there, " + ("from the server" if kept else "from the browser"))
    send("Write a very long story of a ship and its crew.")
    set_field("max_tokens", "400")
    until(lambda: turns() and len(turns()[-1].text) > 20, "a stream")
    d.refresh()
    until(lambda: d.execute_script("return now && now.messages.length > 0 && models.length > 0"), "after a reload in mid-stream")
    assert d.execute_script("return pathOf(now).some((m) => m.content.startsWith('Write a very long'))")
    passed("reload in mid-stream")
    set_field("max_tokens", "12")


def test_keyboard():
    box = one("#text")
    box.click()
    box.send_keys("typed" + Keys.SHIFT + Keys.ENTER + Keys.NULL + "line")
    assert "\n" in box.get_attribute("value")
    box.send_keys(Keys.ENTER)
    until(lambda: idle() and turns(), "an answer by Enter")
    one("#text").send_keys(Keys.ARROW_UP)
    until(lambda: css(".turn .edit"), "edit by arrow up")
    one(".turn .edit").send_keys(Keys.ESCAPE)
    assert not css(".turn .edit")
    passed("keyboard")


def test_widths():
    for width, height in ((360, 740), (800, 900), (1400, 900)):
        d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        time.sleep(0.3)
        wide = d.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, "%d wide at %d" % (wide, width)
        d.save_screenshot(os.path.join(SHOTS, "page-%d.png" % width))
    d.execute_script("document.getElementById('theme').click()")
    time.sleep(0.2)
    d.save_screenshot(os.path.join(SHOTS, "page-1400-other.png"))
    d.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True})
    one("#menu").click()
    d.save_screenshot(os.path.join(SHOTS, "list-360.png"))
    one("#close").click()
    passed("three widths, no sideways scrolling")


def test_many():
    ms = d.execute_script("""const c = now; c.messages = []; let p = null;
        for (let i = 0; i < 2000; i++) { const id = 'm' + i; c.messages.push({ id, parent: p, role: i % 2 ? 'assistant' : 'user', content: 'message **' + i + '** with `code`' }); p = id; }
        c.current = p; show(); const log = document.getElementById('log'), t = []; let last = performance.now();
        return new Promise((done) => { let n = 0; const step = (now) => { t.push(now - last); last = now; log.scrollTop = n * 400;
            if (++n < 90) requestAnimationFrame(step); else { t.sort((a, b) => a - b); done(t[45]); } }; requestAnimationFrame(step); });""")
    print("2,000 messages: %.1f ms a frame (median)" % ms)
    passed("2,000 messages scroll")


def test_nothing_leaves():
    host = urllib.parse.urlparse(BASE).netloc
    for entry in d.get_log("performance"):
        m = json.loads(entry["message"])["message"]
        if m["method"] == "Network.requestWillBeSent":
            url = urllib.parse.urlparse(m["params"]["request"]["url"])
            assert url.scheme in ("data", "blob", "chrome") or url.netloc == host, m["params"]["request"]["url"]
    bad = [e["message"] for e in d.get_log("browser") if "Content Security Policy" in e["message"] or "Uncaught" in e["message"]]
    assert not bad, bad
    passed("no request left the host, the page's rules held, no script failed")


os.makedirs(SHOTS, exist_ok=True)
try:
    d.set_window_size(1400, 900)
    d.get(BASE)
    until(lambda: d.execute_script("return models.length > 0"), "the list of models")
    for t in (test_send_stream_stop, test_continue, test_branches, test_prove, test_injection, test_markdown):
        t()
    d.save_screenshot(os.path.join(SHOTS, "markdown-1400.png"))
    for t in (test_side_by_side, test_kept, test_keyboard, test_widths, test_nothing_leaves, test_many):
        t()
    print("%d checks passed" % checks)
except BaseException:
    d.save_screenshot(os.path.join(SHOTS, "failed.png"))
    print([e["message"] for e in d.get_log("browser")][-5:])
    raise
finally:
    d.quit()
