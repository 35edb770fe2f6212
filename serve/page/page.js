// SPDX-License-Identifier: Apache-2.0
// The chat page: conversations in this browser, answers by the API of the server that sent the page. Text from models and
// users becomes text nodes, never markup; nothing is asked of any other host.
"use strict";

const $ = (id) => document.getElementById(id);
const store = "samsvar-chats";
const fields = ["system", "temperature", "top_p", "top_k", "min_p", "seed", "max_tokens"];
let chats = [];
let now = null; // the conversation shown
let running = null; // AbortController of the answer that is being made
let model = null;

function el(tag, cls, text) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  return e;
}

function button(text, fn) {
  const b = el("button", "", text);
  b.type = "button";
  b.addEventListener("click", fn);
  return b;
}

// ---- Markdown as nodes

function copy(text, b) {
  const done = () => { b.textContent = "Copied"; setTimeout(() => { b.textContent = "Copy"; }, 1200); };
  if (navigator.clipboard) { navigator.clipboard.writeText(text).then(done, () => {}); return; }
  const t = el("textarea", "", text);
  document.body.append(t);
  t.select();
  document.execCommand("copy");
  t.remove();
  done();
}

function codeBlock(language, text) {
  const box = el("div", "code"), bar = el("div", "bar"), pre = el("pre");
  const b = button("Copy", () => copy(text, b));
  bar.append(el("span", "", language || "text"), b);
  pre.append(el("code", "", text));
  box.append(bar, pre);
  return box;
}

const inlineRule = /(`+)(.+?)\1|\*\*(.+?)\*\*|\*([^*\s][^*]*?)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/;

function inline(parent, text) {
  for (;;) {
    const m = inlineRule.exec(text);
    if (!m) break;
    parent.append(text.slice(0, m.index));
    if (m[1]) parent.append(el("code", "", m[2]));
    else if (m[3]) inline(parent.appendChild(el("strong")), m[3]);
    else if (m[4]) inline(parent.appendChild(el("em")), m[4]);
    else {
      const a = el("a", "", m[5]), url = new URL(m[6]);
      a.href = url.href;
      a.rel = "noopener noreferrer";
      a.target = "_blank";
      parent.append(a, " (" + url.host + ")");
    }
    text = text.slice(m.index + m[0].length);
  }
  parent.append(text);
}

function cells(line) {
  return line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|").map((c) => c.trim());
}

function table(lines) {
  const t = el("table");
  lines.forEach((line, i) => {
    if (i === 1) return;
    const tr = t.appendChild(el("tr"));
    for (const c of cells(line)) inline(tr.appendChild(el(i === 0 ? "th" : "td")), c);
  });
  return t;
}

function list(lines, ordered) {
  const l = el(ordered ? "ol" : "ul");
  for (const line of lines) inline(l.appendChild(el("li")), line.replace(/^\s*(?:[-*+]|\d+[.)])\s+/, ""));
  if (ordered) l.start = parseInt(lines[0].trim(), 10) || 1;
  return l;
}

function takeWhile(lines, i, rule) {
  let n = i;
  while (n < lines.length && rule.test(lines[n])) n++;
  return lines.slice(i, n);
}

function markdown(text) {
  const out = document.createDocumentFragment(), lines = text.split("\n");
  let para = [];
  const flush = () => { if (para.length) inline(out.appendChild(el("p")), para.join("\n")); para = []; };
  for (let i = 0; i < lines.length;) {
    const line = lines[i], fence = /^\s*(```+|~~~+)\s*([\w+#.-]*)/.exec(line);
    let some;
    if (fence) {
      flush();
      let end = i + 1;
      while (end < lines.length && !lines[end].trim().startsWith(fence[1])) end++;
      out.append(codeBlock(fence[2], lines.slice(i + 1, end).join("\n")));
      i = end + 1;
    } else if (/^#{1,4} /.test(line)) {
      flush();
      const n = /^#+/.exec(line)[0].length;
      inline(out.appendChild(el("h" + n)), line.slice(n + 1));
      i++;
    } else if ((some = takeWhile(lines, i, /^\s*[-*+]\s+\S/)).length) {
      flush(); out.append(list(some, false)); i += some.length;
    } else if ((some = takeWhile(lines, i, /^\s*\d+[.)]\s+\S/)).length) {
      flush(); out.append(list(some, true)); i += some.length;
    } else if (line.includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(lines[i + 1] || "") && (lines[i + 1] || "").includes("|")) {
      flush(); some = takeWhile(lines, i, /\|/); out.append(table(some)); i += some.length;
    } else if ((some = takeWhile(lines, i, /^>/)).length) {
      flush(); inline(out.appendChild(el("blockquote")), some.map((l) => l.replace(/^>\s?/, "")).join("\n")); i += some.length;
    } else if (!line.trim()) {
      flush(); i++;
    } else {
      para.push(line); i++;
    }
  }
  flush();
  return out;
}

// ---- conversations

function save() {
  try { localStorage.setItem(store, JSON.stringify(chats)); } catch (e) { say("This browser has no room for more; export the conversations"); }
}

function load() {
  try { chats = JSON.parse(localStorage.getItem(store)) || []; } catch (e) { chats = []; }
  if (!Array.isArray(chats)) chats = [];
}

function newChat() {
  now = { id: Date.now() + "-" + Math.random().toString(36).slice(2), title: "New chat", messages: [] };
  chats.unshift(now);
  show();
}

function showList() {
  $("chats").replaceChildren(...chats.map((c) => {
    const row = el("div", c === now ? "on" : "");
    const name = button(c.title, () => { if (running) running.abort(); now = c; $("side").classList.remove("open"); show(); });
    name.className = "name";
    const x = button("\u00d7", () => {
      if (!confirm("Delete this conversation?")) return;
      chats = chats.filter((o) => o !== c);
      save();
      if (c === now) { if (chats.length) { now = chats[0]; show(); } else newChat(); } else showList();
    });
    x.setAttribute("aria-label", "Delete");
    row.append(name, x);
    return row;
  }));
}

function factsOf(m) {
  const f = [];
  if (m.tokens) f.push(m.tokens + " tokens");
  if (m.tokens && m.seconds) f.push((m.tokens / m.seconds).toFixed(1) + " tokens/s");
  if (m.finish === "length") f.push("cut at the length limit");
  if (m.stopped) f.push("stopped");
  if (m.seed !== undefined) f.push("seed " + m.seed);
  if (m.fingerprint) f.push(m.fingerprint);
  return f;
}

function turnNode(m, i) {
  const t = el("div", "turn " + (m.role === "user" ? "user" : "assistant"));
  const body = el("div", "body");
  t.append(el("div", "who", m.role === "user" ? "You" : m.model || "Assistant"));
  if (m.reasoning) {
    const d = el("details");
    d.open = m.open === true;
    d.append(el("summary", "", m.thought_s ? "Thought for " + m.thought_s.toFixed(1) + " s" : "Thinking\u2026"), el("div", "", m.reasoning));
    t.append(d);
  }
  if (m.role === "user") body.textContent = m.content;
  else body.append(markdown(m.content));
  t.append(body);
  if (m.fault) t.append(el("div", "fault", m.fault));
  const facts = el("div", "facts");
  for (const f of factsOf(m)) facts.append(el("span", "", f));
  if (!running) {
    if (m.role === "user") facts.append(button("Edit", () => edit(i)));
    else facts.append(button("Regenerate", () => again(i)), copyButton(m.content));
  }
  t.append(facts);
  return t;
}

function copyButton(text) {
  const b = button("Copy", () => copy(text, b));
  return b;
}

function show() {
  $("log").replaceChildren(...now.messages.map(turnNode));
  $("log").scrollTop = $("log").scrollHeight;
  showList();
}

function showLast() {
  const log = $("log"), near = log.scrollHeight - log.scrollTop - log.clientHeight < 80, i = now.messages.length - 1;
  const old = log.children[i];
  const node = turnNode(now.messages[i], i);
  if (old) old.replaceWith(node); else log.append(node);
  if (near) log.scrollTop = log.scrollHeight;
}

function edit(i) {
  $("text").value = now.messages[i].content;
  now.messages = now.messages.slice(0, i);
  save();
  show();
  grow();
  $("text").focus();
}

function again(i) {
  now.messages = now.messages.slice(0, i);
  answer();
}

// ---- the API

function headers() {
  const h = { "Content-Type": "application/json" }, key = sessionStorage.getItem("samsvar-key");
  if (key) h.Authorization = "Bearer " + key;
  return h;
}

function request() {
  const messages = now.messages.filter((m) => m.content).map((m) => ({ role: m.role, content: m.content }));
  if ($("system").value.trim()) messages.unshift({ role: "system", content: $("system").value });
  const q = { model, messages, stream: true, stream_options: { include_usage: true } };
  for (const f of fields.slice(1)) if ($(f).value !== "") q[f] = Number($(f).value);
  if (!$("think").checked) q.chat_template_kwargs = { enable_thinking: false };
  return q;
}

function take(m, o, start) {
  const c = o.choices && o.choices[0], d = c && c.delta;
  if (o.error) throw new Error(o.error.message);
  if (d && d.reasoning_content) { m.reasoning = (m.reasoning || "") + d.reasoning_content; m.open = true; }
  if (d && d.content) {
    if (m.reasoning && !m.thought_s) { m.thought_s = (performance.now() - start) / 1000; m.open = false; }
    m.content += d.content;
  }
  if (c && c.finish_reason) m.finish = c.finish_reason;
  if (o.system_fingerprint) m.fingerprint = o.system_fingerprint;
  if (o.samsvar) m.seed = o.samsvar.seed;
  if (o.usage) m.tokens = o.usage.completion_tokens;
}

async function read(response, m, start) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "", drawn = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const p of parts) if (p.startsWith("data: ") && p !== "data: [DONE]") take(m, JSON.parse(p.slice(6)), start);
    if (performance.now() - drawn > 50) { showLast(); drawn = performance.now(); }
  }
}

async function answer() {
  const m = { role: "assistant", content: "", model }, start = performance.now(), here = now;
  running = new AbortController();
  const q = request();
  here.messages.push(m);
  $("send").hidden = true;
  $("stop").hidden = false;
  show();
  try {
    const response = await fetch("/v1/chat/completions", { method: "POST", headers: headers(), body: JSON.stringify(q), signal: running.signal });
    if (!response.ok) {
      const o = await response.json().catch(() => null);
      throw new Error(o && o.error ? o.error.message : "the server answered " + response.status);
    }
    await read(response, m, start);
    if (!m.finish) m.fault = "The answer broke off.";
  } catch (e) {
    if (e.name === "AbortError") m.stopped = true;
    else m.fault = e.message;
  }
  m.seconds = (performance.now() - start) / 1000;
  if (m.reasoning && !m.thought_s) m.thought_s = m.seconds;
  m.open = false;
  running = null;
  $("send").hidden = false;
  $("stop").hidden = true;
  save();
  if (now === here) show(); else showList();
}

function send() {
  const text = $("text").value.trim();
  if (!text || running) return;
  if (!now.messages.length) now.title = text.slice(0, 60);
  now.messages.push({ role: "user", content: text });
  $("text").value = "";
  grow();
  save();
  answer();
}

// ---- the page

function say(text) { $("state").textContent = text; }
function grow() { const t = $("text"); t.style.height = "auto"; t.style.height = t.scrollHeight + 2 + "px"; }

async function connect() {
  try {
    const h = await fetch("/health");
    if (!h.ok) { say("The model is being loaded\u2026"); setTimeout(connect, 500); return; }
    const r = await fetch("/v1/models", { headers: headers() });
    if (r.status === 401) { say("An API key is needed: Settings"); return; }
    const o = (await r.json()).data[0];
    model = o.id;
    $("model").textContent = model;
    say("context " + o.max_model_len.toLocaleString() + " tokens");
  } catch (e) { say("No answer from the server"); setTimeout(connect, 2000); }
}

function exportAll() {
  const a = el("a");
  a.href = URL.createObjectURL(new Blob([JSON.stringify(chats, null, 1)], { type: "application/json" }));
  a.download = "samsvar-chats.json";
  a.click();
  URL.revokeObjectURL(a.href);
}

function isChat(c) {
  return c && typeof c.title === "string" && Array.isArray(c.messages) &&
    c.messages.every((m) => m && ["user", "assistant"].includes(m.role) && typeof m.content === "string");
}

async function importFile() {
  try {
    const list = JSON.parse(await $("file").files[0].text());
    if (!Array.isArray(list) || !list.every(isChat)) throw new Error("it holds no conversations");
    chats = list.concat(chats);
    now = chats[0];
    save();
    show();
  } catch (e) { say("Not imported: " + e.message); }
}

function start() {
  for (const f of fields) {
    $(f).value = localStorage.getItem("samsvar-" + f) || "";
    $(f).addEventListener("change", () => localStorage.setItem("samsvar-" + f, $(f).value));
  }
  $("key").value = sessionStorage.getItem("samsvar-key") || "";
  $("key").addEventListener("change", () => { sessionStorage.setItem("samsvar-key", $("key").value); connect(); });
  $("new").addEventListener("click", () => { if (running) running.abort(); newChat(); $("side").classList.remove("open"); });
  $("menu").addEventListener("click", () => $("side").classList.toggle("open"));
  $("set").addEventListener("click", () => {
    $("settings").hidden = !$("settings").hidden;
    $("set").setAttribute("aria-expanded", String(!$("settings").hidden));
  });
  $("stop").addEventListener("click", () => running && running.abort());
  $("export").addEventListener("click", exportAll);
  $("import").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", importFile);
  $("ask").addEventListener("submit", (e) => { e.preventDefault(); send(); });
  $("text").addEventListener("input", grow);
  $("text").addEventListener("keydown", (e) => {
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing && window.innerWidth > 700) { e.preventDefault(); send(); }
  });
  load();
  if (chats.length) { now = chats[0]; show(); } else newChat();
  connect();
}

start();
