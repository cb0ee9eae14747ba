// The live view: listens to the stream of one session and of the list, and hands the news to its parts.

import { Conversation } from "./conversation.js";
import { Events } from "./events.js";
import { Levels } from "./levels.js";
import { Player } from "./player.js";
import { Sessions, clock, story } from "./sessions.js";

/** @param {string} id */
const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const TICK_MS = 1_000;
const THEMES = ["automatic", "light", "dark"];
const THEME_KEY = "voicelive-emulator.theme";

const levels = new Levels(/** @type {HTMLCanvasElement} */ (at("levels")), at("span"));
const player = new Player(/** @type {HTMLAudioElement} */ (at("audio")), at("trouble"), (seconds) => levels.mark(seconds));
const conversation = new Conversation(at("lines"), at("no-lines"), (id, button) => player.toggle(audioOf(id), button));
const events = new Events(at("events"), at("shown"), (seq) => `/view/sessions/${chosen}/events/${seq}`);
const sessions = new Sessions(at("sessions"), at("no-sessions"), at("count"), choose);

/** @type {number | null} */
let chosen = null;
let follows = true; // the newest session, until one is chosen by hand
/** @type {EventSource | null} */
let stream = null;
/** @type {any[]} */
let known = [];
let ahead = 0; // of this computer's clock: the page may be open where clocks differ from the server's after a pause

/** @param {string} [item] */
function audioOf(item) {
  const base = `/view/sessions/${chosen}/audio.wav`;
  return item === undefined ? base : `${base}?item=${encodeURIComponent(item)}`;
}

/** @param {number} number @param {boolean} byHand */
function choose(number, byHand = true) {
  if (byHand) follows = false;
  if (number === chosen) return;
  chosen = number;
  player.stop();
  clear(); // what is left of another session must not stand under the name of this one
  listen();
}

function listen() {
  stream?.close();
  stream = new EventSource(chosen === null ? "/view/stream" : `/view/stream?session=${chosen}`);
  stream.addEventListener("message", (message) => {
    at("lost").hidden = true;
    take(JSON.parse(message.data));
  });
  stream.addEventListener("error", () => {
    at("lost").hidden = false;
  });
}

function clear() {
  for (const part of [conversation, events, levels]) part.clear();
  at("query").textContent = "";
}

/** @param {any} news */
function take(news) {
  known = news.sessions;
  ahead = news.now - Date.now() / 1_000;
  const gone = chosen !== null && !known.some((each) => each.number === chosen);
  if (gone) {
    chosen = null; // another emulator, or it is not kept any more
    follows = true;
  }
  if (follows && known.length > 0 && known[0].number !== chosen) {
    choose(known[0].number, false);
    return;
  }
  if (gone) {
    listen();
    return;
  }
  tick(); // what is hidden cannot be scrolled to its end
  if (news.session !== null) {
    if (news.first) clear();
    conversation.take(news.session.lines);
    events.take(news.session.events);
    levels.take(news.session.levels, news.session.cut);
    at("query").textContent = Object.entries(news.session.query).map(([name, value]) => `${name}=${value}`).join("  ");
    tick();
  }
}

/** What changes by itself: how long sessions last. */
function tick() {
  const now = Date.now() / 1_000 + ahead;
  sessions.show(known, chosen, now);
  const session = known.find((each) => each.number === chosen);
  at("welcome").hidden = session !== undefined;
  at("chosen").hidden = session === undefined;
  if (session === undefined) return;
  at("model").textContent = `${session.number} · ${session.model || "no model"}`;
  const told = story(session);
  if (at("state").dataset.told !== told) { // a screen reader hears what changed, not each second
    at("state").dataset.told = told;
    at("state").textContent = told;
  }
  at("state").title = clock(session, now);
  levels.show(session.lasted ?? now - session.opened);
  const link = /** @type {HTMLAnchorElement} */ (at("download"));
  link.href = audioOf();
}

function themes() {
  let theme = THEMES[0];
  try {
    theme = localStorage.getItem(THEME_KEY) ?? theme;
  } catch { /* a browser may keep a page from storing anything */ }
  const show = () => {
    document.documentElement.dataset.theme = theme;
    at("theme-name").textContent = theme;
    levels.repaint();
  };
  at("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem(THEME_KEY, theme);
    } catch { /* then it is chosen anew next time */ }
    show();
  });
  show();
}

at("endpoint").textContent = location.origin;
at("example").textContent = `from azure.ai.voicelive.aio import connect
from azure.core.credentials import AzureKeyCredential

async with connect(
    endpoint="${location.origin}",
    credential=AzureKeyCredential("any"),
    model="gpt-4.1",
) as connection:
    async for event in connection:
        print(event.type)`;
at("play-all").addEventListener("click", (event) => player.toggle(audioOf(), /** @type {HTMLElement} */ (event.currentTarget), levels.start));
themes();
listen();
setInterval(tick, TICK_MS);
