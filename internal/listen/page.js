'use strict';
// A WebSocket client for the server that this page came from, at the same path.
// What comes from the network enters the page as text nodes, never as HTML.

const LISTED = 1000;      // messages in the list
const KEPT = 64 << 20;    // bytes of them in all
const CUT = 1000;         // characters of a text shown at first
const CUT_LINES = 20;
const CUT_BYTES = 512;    // whole lines of a dump
const MORE = 256 << 10;   // what a click adds: a page with much more stands still
const SEARCHED = 16 << 10; // characters of each message, or bytes / 4, by the filter
const MAX_PAUSE = 15000;  // ms between two attempts to connect
const LASTED = 5000;      // ms after which a connection was a good one
const BUFFERED = 4 << 20; // bytes that may wait to be sent before the next file is read

const $ = id => document.getElementById(id);
const maxFile = Number(document.body.dataset.maxMessage); // the server's limit
const url = location.origin.replace('http', 'ws') + location.pathname + location.search;

const MEANING = {
  1000: 'normal closure', 1001: 'going away', 1002: 'protocol error', 1003: 'kind of data not taken', 1005: 'no code given',
  1006: 'lost without a close frame', 1007: 'invalid data, such as text that is not UTF-8', 1008: 'policy violated', 1009: 'message too big',
  1010: 'extension missing', 1011: 'internal error', 1012: 'service restart', 1013: 'try again later', 1014: 'bad gateway', 1015: 'TLS failed',
};
const meaning = code => MEANING[code] || (code < 3000 ? 'reserved' : code < 4000 ? 'registered' : 'private use');

const number = n => n.toLocaleString('en');
const plural = (n, word) => `${number(n)} ${word}${n === 1 ? '' : 's'}`;
const pad = (n, width, base) => n.toString(base).padStart(width, '0');
const clock = d => `${pad(d.getHours(), 2)}:${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}.${pad(d.getMilliseconds(), 3)}`;

function size(n) {
  let i = 0;
  for (; n >= 1024; i++) n /= 1024;
  return (i ? n.toFixed(1) : n) + [' B', ' KiB', ' MiB', ' GiB', ' TiB'][i];
}

// ---- connecting

let socket = null;   // while there is one, or one is being made
let attempts = 0;    // since the last good connection
let timer = 0;       // of the next attempt
let failing = false; // and said so: an outage must not fill the list

function setState(is, text, button) {
  $('state').dataset.is = is;
  $('state').lastChild.textContent = text;
  $('connect').textContent = button;
  document.title = `${text} · ${location.host}`;
  form.querySelector('.primary').disabled = is !== 'open';
  say(text);
}

function rest() {
  clearTimeout(timer);
  timer = 0;
  setState('closed', 'Not connected', 'Connect');
}

function connect() {
  rest();
  let ws, opened = 0;
  try {
    ws = new WebSocket(url, $('protocols').value.split(',').map(s => s.trim()).filter(s => s));
  } catch (e) { // a subprotocol that is no token, or one twice
    return note(e.message, true);
  }
  ws.binaryType = 'arraybuffer';
  ws.onopen = () => {
    opened = performance.now();
    failing = false;
    setState('open', 'Connected', 'Disconnect');
    note(['Connected', ws.protocol && 'subprotocol ' + ws.protocol, ws.extensions && 'compressed'].filter(s => s).join(', '));
  };
  ws.onmessage = e => message('in', e.data);
  ws.onclose = e => {
    socket = null;
    showWaiting();
    if (opened) note(`Closed: ${e.code} ${meaning(e.code)}${e.reason && `, “${e.reason}”`}`, e.code !== 1000 && e.code !== 1001);
    else if (!ws.ours && !failing) {
      failing = true;
      note('No connection: nothing listens, or it refused. Browsers do not tell which.', true);
    }
    if (opened && performance.now() - opened > LASTED) attempts = 0;
    if (ws.ours || !$('reconnect').checked) rest();
    else reconnect();
  };
  socket = ws;
  setState('busy', 'Connecting…', 'Cancel');
}

// Pauses grow, and differ: the clients of a server that comes back do not come all at once.
function reconnect() {
  const pause = Math.min(MAX_PAUSE, 500 * 2 ** attempts++) * (0.5 + Math.random() / 2);
  const text = `Reconnecting in ${(pause / 1000).toFixed(1)} s`;
  timer = setTimeout(connect, pause);
  setState('waiting', text, 'Connect now');
  if (!failing) note(text);
}

function disconnect() {
  const code = $('code').value.trim() || '1000';
  try {
    socket.close(Number(code), $('reason').value);
    socket.ours = true; // its end is meant
    setState('busy', 'Closing…', 'Closing…');
  } catch {
    problem(`Cannot close with ${code}: see Options. A reason has at most 123 bytes.`);
  }
}

$('connect').onclick = () => {
  problem('');
  if (socket) disconnect();
  else connect();
};
$('reconnect').onchange = () => { if (timer) rest(); };

// ---- sending

const counts = { in: { messages: 0, bytes: 0 }, out: { messages: 0, bytes: 0 } };
const form = $('form'), text = $('text');
const type = () => form.elements.type.value;

function problem(text) { $('problem').textContent = text; }

function message(dir, data, name) {
  const bytes = typeof data === 'string' ? null : new Uint8Array(data);
  const length = bytes ? bytes.length : new Blob([data]).size; // in UTF-8
  counts[dir].messages++;
  counts[dir].bytes += length;
  add({ dir, length, name, bytes, text: data });
}

function transmit(data, name) {
  if (socket?.readyState !== WebSocket.OPEN) {
    problem('Not connected: nothing was sent.');
    return false;
  }
  socket.send(data);
  message('out', data, name);
  showWaiting();
  return true;
}

let waitTimer = 0;

function showWaiting() {
  const n = socket ? socket.bufferedAmount : 0;
  $('waiting').textContent = n ? size(n) + ' waiting' : '';
  clearTimeout(waitTimer);
  if (n) waitTimer = setTimeout(showWaiting, 100);
}

// parseHex takes digits with spaces, commas, colons, dashes and 0x between.
function parseHex(s) {
  const digits = s.replace(/0x|[\s,:-]/gi, ''), wrong = digits.match(/[^0-9a-f]/iu);
  if (wrong) throw new Error(`“${wrong[0]}” is not a hex digit.`);
  if (digits.length % 2) throw new Error(`${plural(digits.length, 'hex digit')}: half a byte is missing.`);
  return Uint8Array.from(digits.match(/../g) || [], pair => parseInt(pair, 16)).buffer;
}

async function sendFiles(files) {
  problem('');
  for (const file of files) {
    if (file.size > maxFile) return problem(`${file.name} has ${size(file.size)}: this server takes messages of up to ${size(maxFile)}.`);
    while (socket?.bufferedAmount > BUFFERED) await new Promise(done => setTimeout(done, 50));
    try {
      if (!transmit(await file.arrayBuffer(), file.name)) return;
    } catch (e) { // a folder, or it is gone
      return problem(`${file.name}: ${e.message}`);
    }
  }
}

const sent = []; // what Up recalls; past its end is the draft
let at = 0;      // in sent
let draft;

function compose(value, kind) {
  text.value = value;
  form.elements.type.value = kind;
  grow();
}

function grow() { // to the height of what it holds
  text.style.height = 'auto';
  text.style.height = text.scrollHeight + 2 + 'px';
}

form.onsubmit = e => {
  e.preventDefault();
  problem('');
  try {
    if (!transmit(type() === 'hex' ? parseHex(text.value) : text.value)) return;
  } catch (e) {
    return problem(e.message);
  }
  sent.push([text.value, type()]);
  if (sent.length > 100) sent.shift();
  at = sent.length;
  compose('', type());
};

function recall(step) {
  if (at + step < 0 || at + step > sent.length) return;
  if (at === sent.length) draft = [text.value, type()];
  at += step;
  compose(...sent[at] || draft);
}

text.oninput = () => { grow(); problem(''); };
window.onresize = grow;
text.onkeydown = e => {
  if (e.shiftKey || e.ctrlKey || e.altKey || e.metaKey || e.isComposing) return;
  if (e.key === 'Enter') form.requestSubmit();
  else if (e.key === 'ArrowUp' && !text.value.slice(0, text.selectionStart).includes('\n')) recall(-1);
  else if (e.key === 'ArrowDown' && !text.value.slice(text.selectionEnd).includes('\n')) recall(1);
  else if (e.key === 'Escape') { compose('', type()); problem(''); }
  else return;
  e.preventDefault();
};
$('attach').onclick = () => $('file').click();
$('file').onchange = async () => {
  await sendFiles([...$('file').files]);
  $('file').value = ''; // so that the same one can be chosen again
};
document.ondragover = document.ondragleave = document.ondrop = e => {
  const files = Boolean(e.dataTransfer?.types.includes('Files'));
  document.body.classList.toggle('drop', files && e.type === 'dragover');
  if (files) e.preventDefault();
  if (files && e.type === 'drop') sendFiles([...e.dataTransfer.files]);
};

// ---- the list

const log = $('log');
let listed = []; // the oldest first
let coming = []; // not yet in the list
let kept = 0;    // bytes of both
let dropped = 0;
let unseen = 0;  // below what is in view
let paused = false;
let flushTimer = 0;

function note(text, bad) { add({ dir: 'note', length: 0, text, bad }); }

function add(entry) {
  entry.time = new Date();
  coming.push(entry);
  kept += entry.length;
  while (coming.length > LISTED) drop(coming);
  while (kept > KEPT && listed.length + coming.length > 1) drop(listed.length && !paused ? listed : coming);
  if (!flushTimer) flushTimer = setTimeout(flush, 30); // many messages are one change of the page
}

function drop(list) {
  const entry = list.shift();
  kept -= entry.length;
  entry.row?.remove();
  dropped++;
}

const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;

function flush() {
  flushTimer = 0;
  if (!paused && coming.length) {
    const follow = atEnd();
    log.append(...coming.map(makeRow));
    const news = coming.filter(e => !e.row.hidden);
    listed.push(...coming);
    coming = [];
    while (listed.length > LISTED) drop(listed);
    if (follow) log.scrollTop = log.scrollHeight;
    else unseen += news.length;
    announce(news.filter(e => e.dir === 'in'));
  }
  showStatus();
}

function showStatus() {
  for (const dir in counts) {
    $(dir + '-count').textContent = number(counts[dir].messages);
    $(dir + '-bytes').textContent = size(counts[dir].bytes);
  }
  const matching = listed.filter(e => !e.row.hidden).length;
  $('status').textContent = [
    matching < listed.length && `${number(matching)} of ${number(listed.length)} match`,
    paused && `paused, ${number(coming.length)} wait`, dropped && `the oldest ${number(dropped)} dropped`,
  ].filter(s => s).join(' · ');
  $('newer').hidden = !unseen;
  $('newer').textContent = `↓ ${number(unseen)} new`;
}

function element(tag, className, text) {
  const e = document.createElement(tag);
  e.className = className;
  e.textContent = text;
  return e;
}

function button(name, action, className = '') {
  const b = element('button', className, name);
  b.type = 'button';
  b.onclick = () => action(b);
  return b;
}

function makeRow(entry) {
  const row = entry.row = element('li', entry.dir, '');
  row.append(element('time', '', clock(entry.time)));
  if (entry.dir === 'note') {
    row.classList.toggle('bad', Boolean(entry.bad));
    row.append(element('pre', 'body', visible(entry.text).join('')));
  } else {
    const acts = element('div', 'acts', '');
    acts.append(button('Copy', b => copy(entry, b)), button('Save', () => save(entry)));
    row.append(
      element('span', 'type', (entry.dir === 'in' ? '↓ ' : '↑ ') + (entry.bytes ? 'binary' : 'text')),
      element('span', 'size', size(entry.length)), element('pre', 'body', ''), acts);
    show(entry, entry.bytes ? CUT_BYTES : CUT, CUT_LINES);
  }
  row.hidden = !matches(entry);
  return row;
}

function show(entry, limit, lines = limit) {
  const { row, bytes, text, name, length } = entry;
  const whole = bytes || text, body = row.querySelector('.body');
  const part = bytes ? bytes.slice(0, limit) : text.slice(0, limit).split('\n', lines).join('\n');
  body.classList.toggle('hex', Boolean(bytes));
  body.replaceChildren(element('em', '', name ? name + '\n' : length ? '' : 'empty'));
  if (bytes) body.append(dump(part));
  else visible(part).forEach((s, i) => body.append(i % 2 ? element('mark', '', s) : s));
  row.querySelector('.more')?.remove();
  const left = whole.length - part.length;
  const label = left > MORE ? `Show ${size(MORE)} more of ${size(length)}` : `Show ${plural(left, bytes ? 'byte' : 'character')} more`;
  if (left) body.after(button(label, () => show(entry, part.length + MORE), 'more'));
}

const INVISIBLE = new RegExp('([\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f' +
  '\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0d\\ufeff\\uffa0\\ufff0-\\ufffb' +
  '\\u{13430}-\\u{1343f}\\u{13441}\\u{13442}\\u{16fe4}\\u{1bca0}-\\u{1bca3}\\u{1d159}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e0fff}]+)', 'u');

// What is invisible, or turns the direction of writing, is spelled out: every second
// element of the result. Joiners stay: emoji and some languages need them.
function visible(s) {
  const parts = s.split(INVISIBLE);
  for (let i = 1; i < parts.length; i += 2) {
    parts[i] = parts[i].replace(/[^]/gu, c => {
      const n = c.codePointAt(0);
      return c === '\r' ? '\\r' : n < 0x100 ? '\\x' + pad(n, 2, 16) : n < 0x10000 ? '\\u' + pad(n, 4, 16) : '\\U' + pad(n, 8, 16);
    });
  }
  return parts.length > 400 ? [parts.join('')] : parts; // a hostile text would make an element of each character
}

const hexDigits = bytes => Array.from(bytes, b => pad(b, 2, 16)).join(' ');

function dump(bytes) {
  const width = innerWidth > 760 ? 16 : 8, lines = [];
  for (let i = 0; i < bytes.length; i += width) {
    const line = bytes.subarray(i, i + width);
    const ascii = String.fromCharCode(...line).replace(/[^ -~]/g, '.');
    lines.push(`${pad(i, width / 2, 16)}  ${hexDigits(line).padEnd(3 * width)} ${ascii}`);
  }
  return lines.join('\n');
}

async function copy({ bytes, text }, b) {
  const area = element('textarea', 'hidden', '');
  area.value = bytes ? hexDigits(bytes) : text;
  try {
    await navigator.clipboard.writeText(area.value);
  } catch { // plain HTTP from another machine has no clipboard
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  b.textContent = 'Copied';
  setTimeout(() => { b.textContent = 'Copy'; }, 1500);
}

function save({ bytes, text, name, time }) {
  const a = element('a', '', '');
  a.href = URL.createObjectURL(new Blob([bytes || text]));
  a.download = name || `message-${clock(time).replace(/\W/g, '')}.${bytes ? 'bin' : 'txt'}`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 60000);
}

// ---- filter, pause, clear

function matches({ dir, bytes, text, name = '' }) {
  const kind = $('kind').value, want = $('filter').value.toLowerCase();
  if (kind && kind !== dir) return false;
  const found = bytes ? name + '\n' + (want && hexDigits(bytes.subarray(0, SEARCHED / 4))) : text.slice(0, SEARCHED);
  return found.toLowerCase().includes(want);
}

$('filter').oninput = $('kind').onchange = () => {
  for (const entry of listed) entry.row.hidden = !matches(entry);
  log.scrollTop = log.scrollHeight;
  showStatus();
};
$('pause').onclick = () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', paused);
  flush();
};
$('clear').onclick = () => {
  listed = [];
  coming = [];
  kept = dropped = unseen = 0;
  log.replaceChildren();
  for (const c of Object.values(counts)) c.messages = c.bytes = 0;
  showStatus();
  say('Cleared');
  text.focus();
};
log.onscroll = () => {
  if (!unseen || !atEnd()) return;
  unseen = 0;
  showStatus();
};
$('newer').onclick = () => { log.scrollTop = log.scrollHeight; };

let announced = -Infinity;

function say(text) { $('live').textContent = text; }

// For a screen reader.
function announce(entries) {
  if (!entries.length || performance.now() - announced < 2000) return;
  announced = performance.now();
  const { bytes, text, length } = entries.at(-1);
  say(`${plural(entries.length, 'message')}, the last: ${bytes ? plural(length, 'byte') : text.slice(0, 100)}`);
}

document.addEventListener('keydown', e => {
  if (e.key === 'k' && e.ctrlKey) {
    e.preventDefault();
    $('clear').click();
  } else if (e.key === 'Escape' && $('options').open) {
    $('options').open = false;
    $('options').firstElementChild.focus();
  }
});
document.addEventListener('click', e => { $('options').open &&= e.target.id !== 'shut' && $('options').contains(e.target); });

function setTheme(name) { document.documentElement.dataset.theme = $('theme').value = name; }

$('theme').onchange = () => {
  setTheme($('theme').value);
  localStorage.setItem('theme', $('theme').value);
};
try { setTheme(localStorage.getItem('theme') || ''); } catch { /* a browser that keeps nothing */ }

$('url').textContent = $('url').title = url;
if (!matchMedia('(pointer: coarse)').matches) text.focus(); // where no keyboard springs up
showStatus();
connect();
