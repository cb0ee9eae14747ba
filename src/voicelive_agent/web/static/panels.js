// The details: latency of each turn, configuration in force, log.

import { make } from "./transcript.js";

const LOG_LINES = 250;
const TURNS = 100;

/** Latencies, as the listener lived them. */
export class Turns {
  /** @type {HTMLElement} */ #body;
  /** @type {HTMLElement} */ #median;
  #count = 0;
  /** @type {number[]} */ #answers = [];

  /** @param {HTMLElement} body @param {HTMLElement} median */
  constructor(body, median) {
    this.#body = body;
    this.#median = median;
  }

  /** @param {{status: string, response_ms: number | null, endpoint_ms: number | null, barge_in_ms: number | null}} turn */
  show({ status, response_ms, endpoint_ms, barge_in_ms }) {
    if (this.#count === 0) this.#body.replaceChildren();
    this.#count += 1;
    const row = document.createElement("tr");
    const cells = [String(this.#count), ms(response_ms), ms(endpoint_ms), ms(barge_in_ms)];
    row.append(...cells.map((text) => make("td", text)));
    row.title = status;
    this.#body.prepend(row);
    while (this.#body.childElementCount > TURNS) this.#body.lastElementChild?.remove();
    if (response_ms !== null) this.#note(response_ms);
  }

  /** @param {number} answer_ms */
  #note(answer_ms) {
    this.#answers = [...this.#answers, answer_ms].slice(-TURNS);
    const sorted = [...this.#answers].sort((a, b) => a - b);
    this.#median.textContent = `median ${ms(sorted[Math.floor(sorted.length / 2)])}`;
  }
}

/** @param {number | null} value */
function ms(value) {
  return value === null || value === undefined ? "–" : `${value} ms`;
}

/** The last lines of what happened. */
export class Log {
  /** @type {HTMLElement} */ #list;
  /** @type {HTMLElement} */ #count;

  /** @param {HTMLElement} list @param {HTMLElement} count */
  constructor(list, count) {
    this.#list = list;
    this.#count = count;
  }

  /** @param {string} text @param {string} [level] info, warning or error */
  add(text, level = "info") {
    const line = document.createElement("li");
    line.className = level;
    const now = new Date();
    const time = /** @type {HTMLTimeElement} */ (make("time", now.toTimeString().slice(0, 8)));
    time.dateTime = now.toISOString();
    line.append(time, ` ${text}`);
    const { scrollTop, scrollHeight, clientHeight } = this.#list;
    const follows = scrollHeight - scrollTop - clientHeight < 30;
    this.#list.append(line);
    while (this.#list.childElementCount > LOG_LINES) this.#list.firstElementChild?.remove();
    if (follows) this.#list.scrollTop = this.#list.scrollHeight;
    this.#count.textContent = String(this.#list.childElementCount);
  }
}

/** Show what this server runs with. @param {HTMLElement} list @param {[string, string][]} values */
export function showConfiguration(list, values) {
  list.replaceChildren(...values.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}
