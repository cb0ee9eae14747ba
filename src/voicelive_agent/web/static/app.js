// The page: what is pressed becomes a call, and what the call tells is shown.

import { holdToTalk } from "./hold.js";
import { Levels } from "./levels.js";
import { Log, Turns, showConfiguration } from "./panels.js";
import { Session } from "./session.js";
import { themes } from "./theme.js";
import { Transcript } from "./transcript.js";

/** State -> icon, name, what to do now. @type {Record<string, [string, string, string]>} */
const STATES = {
  idle: ["icon-idle", "Not started", "Press Start and talk."],
  starting: ["icon-busy", "Starting", "If the browser asks, allow the microphone."],
  connecting: ["icon-busy", "Connecting", "One moment …"],
  ready: ["icon-ready", "Ready", "You can speak now."],
  listening: ["icon-listening", "Listening", "Speak; a short pause ends your turn."],
  processing: ["icon-busy", "Thinking", "The answer is on its way."],
  speaking: ["icon-speaking", "Speaking", "Talk over it whenever you like."],
  reconnecting: ["icon-link", "Reconnecting", ""],
  error: ["icon-error", "Error", "Speak or type to go on."],
  ended: ["icon-idle", "Ended", ""],
};

/** @param {string} id @returns {any} */
const get = (id) => document.getElementById(id);

const transcript = new Transcript(get("transcript"), get("spoken"));
const turns = new Turns(get("turns"), get("turns-median"));
const log = new Log(get("log"), get("log-count"));
const levels = new Levels({ user: get("meter-user"), agent: get("meter-agent") }, get("halo"));

/** @type {Session | null} */
let session = null;
/** @type {string[]} */
let unsent = []; // typed before the connection was there
let state = "idle";

// --- what is shown ---

const HIDDEN_MS = 200; // a page that nobody sees has no frames

/** @type {(() => void)[]} */
const waiting = [];

/** Draw with the next frame: layout takes milliseconds, and sound must not wait for it. @param {() => void} work */
function later(work) {
  waiting.push(work);
  if (waiting.length > 1) return;
  const draw = () => {
    cancelAnimationFrame(frame);
    window.clearTimeout(timer);
    for (const each of waiting.splice(0)) each();
  };
  const frame = requestAnimationFrame(draw);
  const timer = window.setTimeout(draw, HIDDEN_MS);
}

/** @param {string} name @param {string} [detail] */
function showState(name, detail = "") {
  const [icon, title, text] = STATES[name] ?? ["icon-busy", name, ""];
  const isLive = session !== null && !session.isOver;
  if (name !== state) log.add(`state: ${name}`);
  state = name;
  document.body.dataset.state = name;
  document.body.dataset.live = String(isLive);
  get("state-icon").setAttribute("href", `#${icon}`);
  get("state-name").textContent = title;
  get("state-text").textContent = detail || advice(name) || text;
  get("main-label").textContent = isLive ? "Stop" : "Start";
  get("main-icon").setAttribute("href", isLive ? "#icon-stop" : "#icon-mic");
  get("interrupt").disabled = !session?.isOpen;
  get("text").placeholder = isLive ? "Type a message" : "Or type: no microphone is needed";
}

/** What to do where the microphone is not simply open. @param {string} name */
function advice(name) {
  if (name === "error" && session?.isOver) return "Press Start to try again.";
  if (name !== "ready" && name !== "speaking") return "";
  if (session !== null && !session.hasMicrophone) return "Type a message: the microphone is off.";
  if (get("hold-mode").checked) return "Hold the button, or the space bar, to talk.";
  return "";
}

/** @param {import("./problems.js").Problem | null} problem */
function showProblem(problem) {
  get("problem").hidden = problem === null;
  get("problem-title").textContent = problem?.title ?? "";
  get("problem-text").textContent = problem?.message ?? "";
}

/** What the server says besides states. @param {Record<string, any>} message */
function showMessage(message) {
  switch (message.type) {
    case "transcript":
      transcript.show(/** @type {any} */ (message));
      if (message.final) log.add(`${message.who}: ${message.text}`);
      break;
    case "interrupted":
      transcript.interrupt(/** @type {any} */ (message));
      log.add(`interrupted after ${message.heard_ms} ms`);
      break;
    case "tool":
      transcript.tool(/** @type {any} */ (message));
      log.add(`tool ${message.name}: ${message.error || message.status}`, message.error ? "warning" : "info");
      break;
    case "turn":
      turns.show(/** @type {any} */ (message));
      break;
    case "error":
      log.add(`error ${message.code}: ${message.message}`, message.fatal ? "error" : "warning");
      break;
    case "log":
      log.add(message.text, message.level);
      break;
  }
}

// --- what is done ---

/** @param {boolean} microphone */
function start(microphone) {
  later(() => showProblem(null)); // after what the call before it left to be shown
  transcript.divide("a new session begins");
  session = new Session({
    state: (name, detail) => {
      sendUnsent();
      later(() => {
        if (name === "reconnecting" && state !== name) transcript.divide("connection lost; a new session begins");
        showState(name, detail);
      });
    },
    message: (message) => later(() => showMessage(message)),
    level: (who, level) => levels.show(who, level),
    soundBlocked: (blocked) => (get("sound").hidden = !blocked),
    problem: (problem) => later(() => showProblem(problem)), // with the state that it comes with, and not before it
    log: (text, level) => log.add(text, level),
  });
  session.listen(!get("hold-mode").checked);
  void session.start({ microphone });
}

function stop() {
  unsent = [];
  session?.stop();
}

function sendUnsent() {
  if (session?.isOver) unsent = [];
  if (!session?.isOpen) return;
  for (const text of unsent.splice(0)) session.sendText(text);
}

/** @param {string} text */
function type(text) {
  if (session === null || session.isOver) start(false);
  transcript.typed(text);
  log.add(`user typed: ${text}`);
  unsent.push(text);
  sendUnsent();
}

get("main").addEventListener("click", () => {
  if (session !== null && !session.isOver) stop();
  else start(true);
});
get("interrupt").addEventListener("click", () => session?.interrupt());
get("sound-on").addEventListener("click", () => session?.resume());
get("typing").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  const text = get("text").value.trim().toWellFormed?.() ?? get("text").value.trim();
  get("text").value = "";
  if (text) type(text);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") session?.interrupt();
});
window.addEventListener("pagehide", stop);

holdToTalk({
  mode: get("hold-mode"),
  button: get("hold"),
  listen: (listening) => {
    session?.listen(listening);
    if (session?.isOpen) showState(state);
  },
  canTalk: () => session !== null && !session.isOver,
});
themes(get("theme"), get("theme-name"));
for (const id of ["main", "send"]) get(id).disabled = false; // before this, nobody would have heard the click

try {
  const response = await fetch("config");
  const { title, values } = await response.json();
  document.title = get("title").textContent = title;
  showConfiguration(get("config"), values);
} catch {
  log.add("the configuration could not be read", "warning");
}
