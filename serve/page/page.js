// SPDX-License-Identifier: Apache-2.0
// The chat page: conversations are trees of messages, kept in this browser or on the server; answers come by the API of the
// server that sent the page. Text from models and users becomes text nodes, never markup; nothing is asked of any other host.
"use strict";

const $ = (id) => document.getElementById(id);
const store = "samsvar-chats-2";
const fields = ["system", "temperature", "top_p", "top_k", "min_p", "seed", "max_tokens"];
let chats = []; // {id, title, current, kept, messages: [{id, parent, role, content, ...}], loaded}
let now = null; // the conversation shown
let editing = null; // id of the user message being edited
let models = []; // of the server
let chosen = []; // ids that answer
let page = { chats: false, chips: [], prove: "" };
const lastOpen = sessionStorage.getItem("samsvar-now");
const running = new Map(); // message id -> AbortController

function el(tag, cls, text) {
  const e = document.createElement(tag);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  return e;
}

function button(text, fn, title) {
  const b = el("button", "", text);
  b.type = "button";
  if (title) { b.title = title; b.setAttribute("aria-label", title); }
  b.addEventListener("click", fn);
  return b;
}

function newId() {
  const b = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(b, (x) => x.toString(36).padStart(2, "0")).join("");
}

// ---- Markdown as nodes

function copy(text, b, name) {
  const done = () => { b.textContent = "Copied"; setTimeout(() => { b.textContent = name || "Copy"; }, 1200); };
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
  const side = cells(lines[1]).map((c) => (/^:-+:$/.test(c) ? "center" : /-:$/.test(c) ? "right" : ""));
  lines.forEach((line, i) => {
    if (i === 1) return;
    const tr = t.appendChild(el("tr"));
    cells(line).forEach((c, k) => inline(tr.appendChild(el(i === 0 ? "th" : "td", side[k] || "")), c));
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
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      flush(); out.append(el("hr")); i++;
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

// ---- trees

const byId = (c, id) => c.messages.find((m) => m.id === id);
const children = (c, id) => c.messages.filter((m) => (m.parent || null) === (id || null));

function pathOf(c) {
  const path = [];
  for (let m = byId(c, c.current); m && path.length <= c.messages.length; m = byId(c, m.parent)) path.unshift(m);
  return path;
}

// The newest leaf below a message.
function leafOf(c, id) {
  for (let n = 0; n <= c.messages.length; n++) {
    const below = children(c, id);
    if (!below.length) break;
    id = below[below.length - 1].id;
  }
  return id;
}

// ---- keeping

function saveLocal() {
  const own = chats.filter((c) => !c.kept);
  try { localStorage.setItem(store, JSON.stringify(own)); } catch (e) { say("This browser has no room for more; export the conversations"); }
}

async function api(method, path, body, more) {
  const r = await fetch("/samsvar/" + path, Object.assign({ method, headers: headers(), body: body === undefined ? undefined : JSON.stringify(body) }, more));
  if (!r.ok) {
    const o = await r.json().catch(() => null);
    throw new Error(o && o.error ? o.error.message : "the server answered " + r.status);
  }
  return r;
}

const notMine = (m) => { const o = Object.assign({}, m); delete o.id; delete o.label; delete o.open; delete o.proof; return o; };

// Message m of c, or only title and place, has changed.
async function keep(c, m) {
  if (!c.kept) { saveLocal(); return; }
  try {
    if (m) await api("PUT", "chats/" + c.id + "/messages/" + m.id, notMine(m));
    await api("PUT", "chats/" + c.id, { title: c.title, current: c.current || undefined });
  } catch (e) { say("Not kept: " + e.message); }
}

// Chats of the page's first form were lists.
function fromList(c) {
  const messages = [];
  let parent = null;
  for (const m of c.messages) {
    const t = Object.assign({}, m, { id: newId(), parent });
    messages.push(t);
    parent = t.id;
  }
  return { id: newId(), title: c.title, current: parent, messages };
}

function isChat(c) {
  const word = /^[A-Za-z0-9-]{1,64}$/;
  return c && typeof c.title === "string" && word.test(c.id) && Array.isArray(c.messages) &&
    c.messages.every((m) => m && word.test(m.id) && ["user", "assistant"].includes(m.role) && typeof m.content === "string");
}

function read(key) {
  try { const list = JSON.parse(localStorage.getItem(key)); return Array.isArray(list) ? list : []; } catch (e) { return []; }
}

function load() {
  chats = read(store).filter(isChat);
  for (const c of read("samsvar-chats")) if (c && Array.isArray(c.messages)) chats.push(fromList(c));
  localStorage.removeItem("samsvar-chats");
  for (const c of chats) c.loaded = true;
}

async function loadKept() {
  if (!page.chats) return;
  try {
    const list = (await (await api("GET", "chats")).json()).chats;
    const here = new Set(chats.map((c) => c.id));
    const kept = list.filter((c) => !here.has(c.id)).map((c) => ({ id: c.id, title: c.title, kept: true, messages: [] }));
    chats = kept.concat(chats);
    showList();
    const before = kept.find((c) => c.id === lastOpen);
    if (before) open(before);
    else if (kept.length && !now.messages.length) open(kept[0]);
  } catch (e) { say("Conversations of the server: " + e.message); }
}

async function open(c) {
  editing = null;
  if (c.kept && !c.loaded) {
    try {
      const o = await (await api("GET", "chats/" + c.id)).json();
      c.messages = o.messages.filter((m) => ["user", "assistant"].includes(m.role) && typeof m.content === "string");
      c.current = byId(c, o.current) ? o.current : leafOf(c, null);
      c.loaded = true;
    } catch (e) { say(e.message); return; }
  }
  now = c;
  shown = shownAtOnce;
  $("side").classList.remove("open");
  show();
}

function newChat() {
  if (!now || now.messages.length || now.kept !== (page.chats && $("keep").checked)) {
    now = { id: newId(), title: "New chat", current: null, kept: page.chats && $("keep").checked, messages: [], loaded: true };
    chats.unshift(now);
  }
  $("side").classList.remove("open");
  editing = null;
  show();
  $("text").focus();
}

async function remove(c) {
  if (!confirm("Delete this conversation?")) return;
  if (c.kept && c.loaded && c.messages.length || c.kept && !c.loaded) await api("DELETE", "chats/" + c.id).catch((e) => say(e.message));
  chats = chats.filter((o) => o !== c);
  saveLocal();
  if (c !== now) showList();
  else if (chats.length) open(chats[0]);
  else { now = null; newChat(); }
}

// ---- showing

function showList() {
  const words = $("search").value.toLowerCase();
  const fits = (c) => !words || c.title.toLowerCase().includes(words) || c.messages.some((m) => m.content.toLowerCase().includes(words));
  $("chats").replaceChildren(...chats.filter(fits).map((c) => {
    const row = el("div", c === now ? "on" : "");
    const name = button(c.title, () => open(c));
    name.className = c.kept ? "name kept" : "name";
    if (c === now) name.setAttribute("aria-current", "true");
    const x = button("\u00d7", () => remove(c), "Delete " + c.title);
    x.className = "x";
    row.append(name, x);
    return row;
  }));
}

function factsOf(m) {
  const f = [];
  if (m.tokens) f.push(m.tokens + " tokens");
  if (m.tokens && m.seconds) f.push((m.tokens / m.seconds).toFixed(1) + " tokens/s");
  if (m.used && m.context) f.push(m.used.toLocaleString() + " of " + m.context.toLocaleString());
  if (m.finish === "length") f.push("cut at the length limit");
  if (m.stopped) f.push("stopped");
  if (m.seed !== undefined) f.push("seed " + m.seed);
  if (m.fingerprint) f.push(m.fingerprint);
  if (m.sha) f.push(m.sha.slice(0, 12));
  return f;
}

function branchNode(m) {
  const all = children(now, m.parent), i = all.indexOf(m);
  if (all.length < 2) return null;
  const go = (k) => () => { now.current = leafOf(now, all[k].id); keep(now); show(); };
  const box = el("span", "branch"), back = button("\u2039", go(i - 1), "Branch before"), on = button("\u203a", go(i + 1), "Next branch");
  back.disabled = i === 0;
  on.disabled = i === all.length - 1;
  box.append(back, i + 1 + "/" + all.length, on);
  return box;
}

function proofNode(p) {
  const box = el("div", "proof " + (p.same ? "same" : "other"));
  if (p.fault) { box.append(p.fault); return box; }
  box.append(el("strong", "", p.verdict), " " + p.tokens + " tokens, " + p.here.chip + " and " + p.there.chip + ", " + p.seconds.toFixed(1) + " s");
  for (const side of [p.here, p.there]) {
    const line = el("div");
    line.append(side.chip + ": ", el("code", "", side.output_sha256));
    box.append(line);
  }
  if (p.first_difference) {
    const d = p.first_difference, text = (t) => (t ? JSON.stringify(t.text) : "the end");
    box.append(el("div", "", "first difference at token " + d.token + ": " + text(d.here) + " and " + text(d.there)));
  }
  if (p.note) box.append(el("div", "", p.note));
  return box;
}

function editNode(m) {
  const t = el("div", "turn user"), area = el("textarea", "edit"), acts = el("div", "acts");
  area.value = m.content;
  area.setAttribute("aria-label", "Edit the message");
  const done = () => { editing = null; const text = area.value.trim(); if (text) send(text, m.parent); else show(); };
  area.addEventListener("keydown", (e) => {
    if (e.key === "Escape") { editing = null; show(); }
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) done();
  });
  acts.append(button("Send as a new branch", done), button("Cancel", () => { editing = null; show(); }));
  t.append(area, acts);
  setTimeout(() => area.focus(), 0);
  return t;
}

function thumb(m, up) {
  const b = button(up ? "Good" : "Bad", async () => {
    const label = m.label === up ? null : up;
    try {
      if (now.kept) await api("PUT", "chats/" + now.id + "/labels/" + m.id, { label });
      if (label === null) delete m.label; else m.label = label;
      saveLocal();
      show();
    } catch (e) { say(e.message); }
  }, up ? "Good answer" : "Bad answer");
  b.setAttribute("aria-pressed", String(m.label === up));
  return b;
}

function actsNode(m) {
  const acts = el("div", "acts"), branch = branchNode(m);
  if (branch) acts.append(branch);
  if (running.size) return acts;
  if (m.role === "user") {
    acts.append(button("Edit", () => { editing = m.id; show(); }));
  } else {
    acts.append(button("Regenerate", () => answer(m.parent, [m.model])));
    if (m.content && (m.finish === "length" || m.stopped || m.fault)) acts.append(button("Continue", () => goOn(m)));
    if (m.sha && m.request) acts.append(button("Prove", (e) => prove(m, e.target), "Make it again on another chip and compare"));
    acts.append(thumb(m, true), thumb(m, false));
    if (m.request) acts.append(copyButton("Copy as curl", () => curlOf(m)));
  }
  acts.append(copyButton("Copy", () => m.content));
  return acts;
}

function copyButton(name, text) {
  const b = button(name, () => copy(text(), b, name));
  return b;
}

function turnNode(m) {
  if (m.id === editing) return editNode(m);
  const t = el("div", "turn " + (m.role === "user" ? "user" : "assistant"));
  const body = el("div", "body"), facts = el("div", "facts");
  t.dataset.id = m.id;
  t.append(el("div", "who", m.role === "user" ? "You" : m.model || "Assistant"));
  if (m.reasoning) {
    const d = el("details");
    d.open = m.open === true;
    d.addEventListener("toggle", () => { m.open = d.open; });
    d.append(el("summary", "", m.thought_s ? "Thought for " + m.thought_s.toFixed(1) + " s" : "Thinking\u2026"), el("div", "", m.reasoning));
    t.append(d);
  }
  if (m.role === "user") body.textContent = m.content;
  else body.append(markdown(m.content));
  t.append(body);
  if (m.fault) t.append(el("div", "fault", m.fault));
  for (const f of factsOf(m)) facts.append(el("span", "", f));
  t.append(facts, actsNode(m));
  if (m.proof) t.append(proofNode(m.proof));
  return t;
}

// Answers of several models to one message stand side by side until one of them is gone on from.
function sideNode(m, group) {
  const box = el("div", "side");
  for (const g of group) {
    const t = turnNode(g);
    if (g === m) t.classList.add("chosen");
    else if (!running.size) t.querySelector(".acts").prepend(button("Go on from this one", () => { now.current = g.id; keep(now); show(); }));
    box.append(t);
  }
  return box;
}

function emptyNode() {
  const e = el("div", "empty");
  e.append(el("h1", "", "Samsvar"), el("p", "", "Ask something. For one seed the answer is the same on every chip, whoever else is asking; Prove shows it."));
  return e;
}

const shownAtOnce = 120;
let shown = shownAtOnce; // turns on the page; those before them come by a button

function earlierNode(n) {
  const b = button("Show " + Math.min(n, shownAtOnce) + " earlier messages", () => {
    const below = $("log").scrollHeight;
    shown += shownAtOnce;
    show();
    $("log").scrollTop = $("log").scrollHeight - below;
  });
  b.className = "earlier";
  return b;
}

function show() {
  sessionStorage.setItem("samsvar-now", now.id);
  const whole = pathOf(now), path = whole.slice(-shown), nodes = path.map((m, i) => {
    const group = m.group && i === path.length - 1 ? children(now, m.parent).filter((o) => o.group === m.group) : [];
    return group.length > 1 ? sideNode(m, group) : turnNode(m);
  });
  if (whole.length > shown) nodes.unshift(earlierNode(whole.length - shown));
  $("log").replaceChildren(...(nodes.length ? nodes : [emptyNode()]));
  $("log").scrollTop = $("log").scrollHeight;
  $("send").hidden = running.size > 0;
  $("stop").hidden = running.size === 0;
  document.title = now.title === "New chat" ? "Samsvar" : now.title + " \u2013 Samsvar";
  showList();
}

function showTurn(m) {
  const log = $("log"), near = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  const old = log.querySelector('[data-id="' + m.id + '"]');
  if (!old) return;
  const node = turnNode(m);
  if (old.classList.contains("chosen")) node.classList.add("chosen");
  old.replaceWith(node);
  if (near) log.scrollTop = log.scrollHeight;
}

// ---- the API

function headers() {
  const h = { "Content-Type": "application/json" }, key = sessionStorage.getItem("samsvar-key");
  if (key) h.Authorization = "Bearer " + key;
  return h;
}

function messagesTo(c, id) {
  const list = [];
  for (let m = byId(c, id); m && list.length <= c.messages.length; m = byId(c, m.parent))
    if (m.content) list.unshift({ role: m.role, content: m.content });
  if ($("system").value.trim()) list.unshift({ role: "system", content: $("system").value });
  return list;
}

function requestOf(model, messages) {
  const q = { model, messages, stream: true, stream_options: { include_usage: true } };
  for (const f of fields.slice(1)) if ($(f).value !== "") q[f] = Number($(f).value);
  if (!$("think").checked) q.chat_template_kwargs = { enable_thinking: false };
  return q;
}

function take(m, o, start) {
  const c = o.choices && o.choices[0], d = c && c.delta;
  if (o.error) throw new Error(o.error.message);
  if (d && d.reasoning_content) {
    if (!m.reasoning) m.open = true;
    m.reasoning = (m.reasoning || "") + d.reasoning_content;
  }
  if (d && d.content) {
    if (m.reasoning && !m.thought_s) { m.thought_s = (performance.now() - start) / 1000; m.open = false; }
    m.content += d.content;
  }
  if (c && c.finish_reason) m.finish = c.finish_reason;
  if (o.system_fingerprint) m.fingerprint = o.system_fingerprint;
  if (o.samsvar) { m.seed = o.samsvar.seed; m.sha = o.samsvar.output_sha256; }
  if (o.usage) { m.tokens = o.usage.completion_tokens; m.used = o.usage.total_tokens; }
}

async function readStream(response, m, start) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "", drawn = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const p of parts) if (p.startsWith("data: ") && p !== "data: [DONE]") take(m, JSON.parse(p.slice(6)), start);
    if (performance.now() - drawn > 50) { showTurn(m); drawn = performance.now(); }
  }
}

// Streams one answer into m.
async function stream(c, m, q) {
  const start = performance.now(), stop = new AbortController();
  running.set(m.id, stop);
  delete m.fault; delete m.stopped; delete m.finish; delete m.proof; delete m.sha;
  const known = models.find((o) => o.id === q.model);
  if (known) m.context = known.max_model_len;
  try {
    const response = await fetch("/v1/chat/completions", { method: "POST", headers: headers(), body: JSON.stringify(q), signal: stop.signal });
    if (!response.ok) {
      const o = await response.json().catch(() => null);
      throw new Error(o && o.error ? o.error.message : "the server answered " + response.status);
    }
    await readStream(response, m, start);
    if (!m.finish) m.fault = "The answer broke off.";
  } catch (e) {
    if (e.name === "AbortError") m.stopped = true;
    else m.fault = e.message;
  }
  m.seconds = (performance.now() - start) / 1000;
  if (m.reasoning && !m.thought_s) m.thought_s = m.seconds;
  if (!m.content && m.reasoning && m.stopped) m.open = true;
  running.delete(m.id);
  if (!q.continue_final_message) m.request = proofRequest(q, m);
  await keep(c, m);
  if (now === c) show(); else showList();
}

function proofRequest(q, m) {
  const o = Object.assign({}, q, { seed: m.seed });
  delete o.stream;
  delete o.stream_options;
  return o;
}

async function answer(parent, who) {
  const c = now, group = who.length > 1 ? newId() : undefined, asked = messagesTo(c, parent);
  const all = who.map((model) => {
    const m = { id: newId(), parent, role: "assistant", content: "", model };
    if (group) m.group = group;
    c.messages.push(m);
    return m;
  });
  c.current = all[0].id;
  const work = all.map((m) => stream(c, m, requestOf(m.model, asked)));
  show();
  await Promise.all(work);
}

function goOn(m) {
  const q = requestOf(m.model, messagesTo(now, m.id));
  q.continue_final_message = true;
  const work = stream(now, m, q);
  show();
  return work;
}

function send(text, parent) {
  if (!text || running.size || !chosen.length) return;
  if (!now.messages.length) now.title = text.slice(0, 60);
  const m = { id: newId(), parent: parent || null, role: "user", content: text };
  now.messages.push(m);
  now.current = m.id;
  keep(now, m);
  answer(m.id, chosen);
}

async function prove(m, b) {
  b.disabled = true;
  b.textContent = "Proving\u2026";
  try {
    const body = { request: m.request, output_sha256: m.sha };
    if ($("chip").value) body.chip = $("chip").value;
    m.proof = await (await api("POST", "prove", body)).json();
  } catch (e) { m.proof = { same: false, fault: e.message }; }
  showTurn(m);
}

function curlOf(m) {
  const q = JSON.stringify(m.request).replace(/'/g, "'\\''");
  return "curl " + location.origin + "/v1/chat/completions -H 'Content-Type: application/json' -d '" + q + "'";
}

// ---- the page

function say(text) { $("state").textContent = text; }
function grow() { const t = $("text"); t.style.height = "auto"; t.style.height = t.scrollHeight + 2 + "px"; }
function stopAll() { for (const stop of running.values()) stop.abort(); }

function showModels() {
  const kept = read("samsvar-models").filter((id) => models.some((o) => o.id === id));
  chosen = kept.length ? kept : models.slice(0, 1).map((o) => o.id);
  const name = () => { $("model").textContent = chosen.length > 1 ? chosen.length + " models" : chosen[0] || "no model"; };
  const boxes = models.map((o) => {
    const l = el("label", "check"), box = el("input");
    box.type = "checkbox";
    box.checked = chosen.includes(o.id);
    box.addEventListener("change", () => {
      chosen = models.map((x) => x.id).filter((id) => (id === o.id ? box.checked : chosen.includes(id)));
      if (!chosen.length) { chosen = [o.id]; box.checked = true; }
      localStorage.setItem("samsvar-models", JSON.stringify(chosen));
      name();
    });
    l.append(box, o.id);
    return l;
  });
  $("models").replaceChildren(el("p", "", "Several answer side by side."), ...boxes);
  name();
}

async function connect() {
  try {
    const h = await fetch("/health");
    if (!h.ok) { say("The model is being loaded\u2026"); setTimeout(connect, 500); return; }
    const r = await fetch("/v1/models", { headers: headers() });
    if (r.status === 401) { say("An API key is needed: Settings"); $("settings").hidden = false; return; }
    models = (await r.json()).data;
    showModels();
    page = await (await api("GET", "page")).json();
    $("keep-box").hidden = $("labels").hidden = !page.chats;
    $("chip").replaceChildren(...page.chips.map((c) => { const o = el("option", "", c); o.selected = c === page.prove; return o; }));
    if (page.chats && !now.messages.length) now.kept = $("keep").checked;
    say(models.length ? "context " + models[0].max_model_len.toLocaleString() : "");
    await loadKept();
  } catch (e) { say("No answer from the server"); setTimeout(connect, 2000); }
}

function download(name, type, text) {
  const a = el("a");
  a.href = URL.createObjectURL(new Blob([text], { type }));
  a.download = name;
  a.click();
  URL.revokeObjectURL(a.href);
}

// The whole tree, a conversation a line.
async function exportAll() {
  for (const c of chats) if (c.kept && !c.loaded) {
    try { c.messages = (await (await api("GET", "chats/" + c.id)).json()).messages; } catch (e) { say(e.message); }
  }
  const lines = chats.filter((c) => c.messages.length).map((c) => JSON.stringify({ id: c.id, title: c.title, current: c.current, messages: c.messages }));
  download("samsvar-chats.jsonl", "application/x-ndjson", lines.join("\n") + "\n");
}

async function importFile() {
  try {
    const text = await $("file").files[0].text();
    const list = text.trim().startsWith("[") ? JSON.parse(text).map(fromList) : text.trim().split("\n").map((l) => JSON.parse(l));
    if (!list.length || !list.every(isChat)) throw new Error("it holds no conversations");
    for (const c of list) { c.id = newId(); c.kept = false; c.loaded = true; }
    chats = list.concat(chats);
    saveLocal();
    open(chats[0]);
  } catch (e) { say("Not imported: " + e.message); }
  $("file").value = "";
}

async function exportLabels() {
  try { download("labels.jsonl", "application/x-ndjson", await (await api("GET", "chats/labels.jsonl")).text()); } catch (e) { say(e.message); }
}

function setTheme(to) {
  if (to) document.documentElement.dataset.theme = to; else delete document.documentElement.dataset.theme;
}

function keys(e) {
  if (e.key === "Escape" && running.size) { stopAll(); e.preventDefault(); }
  if (e.key.toLowerCase() === "o" && e.ctrlKey && e.shiftKey) { newChat(); e.preventDefault(); }
  if (e.key === "/" && !/INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName)) { $("text").focus(); e.preventDefault(); }
}

function textKeys(e) {
  if (e.key === "Enter" && !e.shiftKey && !e.isComposing && window.innerWidth > 700) { e.preventDefault(); $("ask").requestSubmit(); }
  if (e.key === "ArrowUp" && !$("text").value && !running.size) {
    const last = pathOf(now).filter((m) => m.role === "user").pop();
    if (last) { editing = last.id; e.preventDefault(); show(); }
  }
}

function listen() {
  $("new").addEventListener("click", newChat);
  $("menu").addEventListener("click", () => $("side").classList.add("open"));
  $("close").addEventListener("click", () => $("side").classList.remove("open"));
  $("search").addEventListener("input", showList);
  $("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches, is = document.documentElement.dataset.theme || (dark ? "dark" : "light");
    const to = is === "dark" ? "light" : "dark";
    localStorage.setItem("samsvar-theme", to);
    setTheme(to);
  });
  $("set").addEventListener("click", () => {
    $("settings").hidden = !$("settings").hidden;
    $("set").setAttribute("aria-expanded", String(!$("settings").hidden));
  });
  $("stop").addEventListener("click", stopAll);
  $("export").addEventListener("click", exportAll);
  $("labels").addEventListener("click", exportLabels);
  $("import").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", importFile);
  $("ask").addEventListener("submit", (e) => {
    e.preventDefault();
    const text = $("text").value.trim();
    if (!text || running.size) return;
    $("text").value = "";
    grow();
    send(text, now.current);
  });
  $("text").addEventListener("input", grow);
  $("text").addEventListener("keydown", textKeys);
  document.addEventListener("keydown", keys);
  document.addEventListener("click", (e) => { if (!$("pick").contains(e.target)) $("pick").open = false; });
  window.addEventListener("pagehide", () => { for (const m of now.messages) if (running.has(m.id)) { m.stopped = true; keepNow(now, m); } });
}

// The page goes: what there is of an answer is kept.
function keepNow(c, m) {
  if (c.kept) api("PUT", "chats/" + c.id + "/messages/" + m.id, notMine(m), { keepalive: true }).catch(() => {});
  else saveLocal();
}

function start() {
  setTheme(localStorage.getItem("samsvar-theme"));
  for (const f of fields) {
    $(f).value = localStorage.getItem("samsvar-" + f) || "";
    $(f).addEventListener("change", () => localStorage.setItem("samsvar-" + f, $(f).value));
  }
  $("keep").checked = localStorage.getItem("samsvar-keep") !== "no";
  $("keep").addEventListener("change", () => localStorage.setItem("samsvar-keep", $("keep").checked ? "yes" : "no"));
  $("key").value = sessionStorage.getItem("samsvar-key") || "";
  $("key").addEventListener("change", () => { sessionStorage.setItem("samsvar-key", $("key").value); connect(); });
  listen();
  load();
  const before = chats.find((c) => c.id === lastOpen);
  if (before || chats.length) open(before || chats[0]); else newChat();
  connect();
}

start();
