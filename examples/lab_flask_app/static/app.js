// The page of the lab's app: start, talk, stop; the state, and a log.

const LINES = 250;
const HELD = new Set(['starting', 'ready', 'listening', 'processing', 'assistant_speaking']);
const here = (name) => new URL(name, import.meta.url);
const [start, stop, interrupt, box, state, message, logList] = ['start', 'stop', 'interrupt', 'status', 'state',
  'message', 'log'].map((id) => document.getElementById(id));

let audio = null; // of a session: everything that is to be closed with it
let begins = ''; // opening, then asked: a session that the stream has not told of; what it tells is of one before

// --- what is shown ---

function log(level, text) {
  const line = document.createElement('li');
  line.className = level;
  line.textContent = `${new Date().toLocaleTimeString()} ${text}`;
  const atEnd = logList.scrollTop + logList.clientHeight >= logList.scrollHeight - 8;
  logList.append(line);
  while (logList.childElementCount > LINES) logList.firstElementChild.remove();
  if (atEnd) logList.scrollTop = logList.scrollHeight;
}

function show(status) {
  begins = '';
  box.dataset.state = state.textContent = status.state;
  message.textContent = status.message;
  const held = HELD.has(status.state) || (status.state === 'error' && status.connected);
  start.disabled = held;
  stop.disabled = interrupt.disabled = !held;
  if (!held) close();
}

const failed = (text) => show({ state: 'error', message: text });

// --- audio ---

async function open(opened) {
  const { context, speaker } = opened;
  await Promise.all([context.audioWorklet.addModule(here('capture.js')),
    speaker.audioWorklet.addModule(here('playback.js')), context.resume(), speaker.resume()]);
  opened.microphone = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
  });
  if (audio !== opened) { // it was stopped meanwhile
    release(opened);
    return;
  }
  opened.player = new AudioWorkletNode(speaker, 'playback');
  opened.player.connect(speaker.destination);
  opened.capture = new AudioWorkletNode(context, 'capture', { numberOfOutputs: 0 });
  opened.capture.port.onmessage = ({ data }) => {
    if (opened.socket?.readyState === WebSocket.OPEN) opened.socket.send(data);
  };
  context.createMediaStreamSource(opened.microphone).connect(opened.capture);
}

function openSocket(opened) {
  const url = new URL('/ws-audio', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url);
  opened.socket = socket;
  socket.onclose = () => {
    if (audio?.socket === socket) log('warn', 'The way for the microphone is closed.');
  };
}

const release = (opened) => opened?.microphone?.getTracks().forEach((track) => track.stop());

function close() {
  const opened = audio;
  audio = null;
  release(opened);
  opened?.socket?.close();
  opened?.context.close();
  opened?.speaker.close();
}

// --- the server ---

let last = Promise.resolve();

/** In the order of the clicks: a stop that overtakes its start finds nothing to stop. */
function post(path) {
  const sent = last.then(async () => {
    const answer = await fetch(path, { method: 'POST' });
    return { ok: answer.ok, content: await answer.json() };
  });
  last = sent.catch(() => {}); // who has asked is told
  return sent;
}

function receive({ data }) {
  const told = JSON.parse(data);
  if (told.type === 'status') {
    if (!begins || HELD.has(told.state)) show(told);
  } else if (told.type === 'log') log(told.level, told.msg ?? told.event_type);
  else if (told.type === 'control') audio?.player?.port.postMessage('stop');
  else if (told.type === 'audio' && audio?.player) {
    const bytes = Uint8Array.from(atob(told.audio), (char) => char.charCodeAt(0));
    audio.player.port.postMessage(bytes.buffer, [bytes.buffer]);
  }
}

function explain(error) {
  if (error.name === 'NotAllowedError') return 'The browser does not allow the microphone to this page.';
  if (error.name === 'NotFoundError') return 'There is no microphone.';
  return `${error}`;
}

start.onclick = async () => {
  show({ state: 'starting', message: 'Starting voice session…' });
  begins = 'opening';
  if (!navigator.mediaDevices) {
    failed('Browsers give a microphone to https pages, and to http://localhost, only.');
    return;
  }
  let mine = null;
  try { // the microphone's rate in, the service's out
    mine = audio = { context: new AudioContext(), speaker: new AudioContext({ sampleRate: 24000 }) };
    await open(mine); // first: nobody pays for a session while the browser asks for permission
    if (audio !== mine) return;
    const { ok, content } = await post('/start-session');
    if (audio !== mine) return; // it was stopped, or has failed, meanwhile
    if (!ok) failed(content.status?.last_error ?? content.error);
    else if (!content.started) show(content.status); // another tab holds it
    else if (begins) begins = 'asked';
    if (audio === mine) openSocket(mine);
  } catch (error) {
    if (audio === mine) failed(explain(error));
  }
};

stop.onclick = async () => {
  close();
  begins = '';
  try {
    const { ok } = await post('/stop-session');
    if (!ok && HELD.has(state.textContent)) show({ state: 'stopped', message: 'Session ended.' }); // it never began
  } catch (error) {
    failed(`${error}`);
  }
};

interrupt.onclick = () => post('/interrupt').catch((error) => failed(`${error}`));

// Start is enabled by the first status that comes: it would end what was begun before it.
const events = new EventSource('/events');
events.onopen = () => {
  if (begins === 'asked') begins = ''; // a new stream tells how it stands now
};
events.onmessage = receive;
events.onerror = () => log('warn', 'The server is not there; trying again.');
