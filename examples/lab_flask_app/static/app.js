// The page of the lab's app: start, talk, stop; the state, and a log.

const LINES = 250;
const HELD = new Set(['starting', 'ready', 'listening', 'processing', 'assistant_speaking']);
const here = (name) => new URL(name, import.meta.url);
const [start, stop, interrupt, box, state, message, logList] = ['start', 'stop', 'interrupt', 'status', 'state',
  'message', 'log'].map((id) => document.getElementById(id));

let audio = null; // of a session: everything that is to be closed with it

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
  box.dataset.state = state.textContent = status.state;
  message.textContent = status.message;
  const held = HELD.has(status.state) || (status.state === 'error' && status.connected);
  start.disabled = held;
  stop.disabled = interrupt.disabled = !held;
  if (!held) close();
}

const failed = (text) => show({ state: 'error', message: text });

// --- audio ---

async function open() {
  const context = new AudioContext(); // at the microphone's rate
  const speaker = new AudioContext({ sampleRate: 24000 });
  audio = { context, speaker };
  await Promise.all([context.audioWorklet.addModule(here('capture.js')),
    speaker.audioWorklet.addModule(here('playback.js')), context.resume(), speaker.resume()]);
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
  });
  const opened = { context, speaker, microphone };
  if (audio?.context !== context) { // it was stopped meanwhile
    close(opened);
    return;
  }
  audio = opened;
  opened.player = new AudioWorkletNode(speaker, 'playback');
  opened.player.connect(speaker.destination);
  opened.capture = new AudioWorkletNode(context, 'capture', { numberOfOutputs: 0 });
  opened.capture.port.onmessage = ({ data }) => {
    if (opened.socket?.readyState === WebSocket.OPEN) opened.socket.send(data);
  };
  context.createMediaStreamSource(microphone).connect(opened.capture);
}

function openSocket() {
  const url = new URL('/ws-audio', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const socket = new WebSocket(url);
  if (audio) audio.socket = socket;
  socket.onclose = () => {
    if (audio?.socket === socket) log('warn', 'The way for the microphone is closed.');
  };
}

function close(opened = audio) {
  if (opened === audio) audio = null;
  opened?.microphone?.getTracks().forEach((track) => track.stop());
  opened?.socket?.close();
  opened?.context.close();
  opened?.speaker.close();
}

// --- the server ---

async function post(path) {
  const answer = await fetch(path, { method: 'POST' });
  const content = await answer.json();
  return { ok: answer.ok, content };
}

function receive({ data }) {
  const told = JSON.parse(data);
  if (told.type === 'status') show(told);
  else if (told.type === 'log') log(told.level, told.msg ?? told.event_type);
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
  if (!navigator.mediaDevices) {
    failed('Browsers give a microphone to https pages, and to http://localhost, only.');
    return;
  }
  try {
    await open(); // first: nobody pays for a session while the browser asks for permission
    if (!audio) return;
    const { ok, content } = await post('/start-session');
    if (ok) openSocket();
    else failed(content.status?.last_error ?? content.error);
  } catch (error) {
    failed(explain(error));
  }
};

stop.onclick = async () => {
  close();
  await post('/stop-session').catch((error) => failed(`${error}`));
};

interrupt.onclick = () => post('/interrupt').catch((error) => failed(`${error}`));

// Start is enabled by the first status that comes: it would end what was begun before it.
const events = new EventSource('/events');
events.onmessage = receive;
events.onerror = () => log('warn', 'The server is not there; trying again.');
