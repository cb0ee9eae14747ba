// A call as the page sees it, from Start to Stop: sound, a connection, and new connections when one is lost.

import { Sound } from "./audio.js";
import { Link, getTicket } from "./link.js";
import { Problem, asProblem, ending } from "./problems.js";

const WAITS_MS = [300, 1_000, 2_000, 4_000, 8_000]; // and on with the last one
const GIVE_UP_MS = 120_000;
const STEADY_MS = 10_000; // a connection that lasted so long was a good one
const JITTER = 0.3;
const WORTH_ANOTHER_TRY = new Set(["unreachable", "lost", "draining", "server_full", "address_full"]);
const TICKET_MS = 20_000; // a ticket is good for 30 s

/**
 * What a session tells its page.
 * @typedef {object} Listener
 * @property {(state: string, detail?: string) => void} state starting, reconnecting, those of the server, ended, error
 * @property {(message: Record<string, any>) => void} message what else the server says
 * @property {(who: "user" | "agent", level: number) => void} level loudness, 0 to 1
 * @property {(blocked: boolean) => void} soundBlocked whether the browser keeps the page silent
 * @property {(problem: Problem | null) => void} problem what the person must know
 * @property {(text: string, level?: string) => void} log
 */

/** One call. `start` begins it, `stop` ends it; afterwards make a new one. */
export class Session {
  /** @type {Listener} */ #tell;
  /** @type {Sound | null} */ #audio = null;
  /** @type {Link | null} */ #link = null;
  #stopping = new AbortController();
  #listening = true;
  #generation = 0; // the server's, from 0 on each connection
  #flushes = 0; // ours, never the same: a report that was under way belongs to nothing else
  #attempts = 0;
  #openedAt = 0;
  #lostAt = 0;
  /** @type {Record<string, any> | null} */ #end = null;

  /** @param {Listener} listener */
  constructor(listener) {
    this.#tell = listener;
  }

  /** Whether it can be talked to. */
  get isOpen() {
    return this.#link !== null;
  }

  /** Whether it is over. */
  get isOver() {
    return this.#stopping.signal.aborted;
  }

  get hasMicrophone() {
    return this.#audio?.hasMicrophone ?? false;
  }

  /** Open sound and a connection; what fails is told. @param {{microphone: boolean}} wanted */
  async start({ microphone }) {
    this.#tell.state("starting");
    const { signal } = this.#stopping;
    try {
      const asked = performance.now();
      const ticket = getTicket(signal);
      ticket.catch((problem) => this.#stopping.abort(problem)); // no need for the microphone any more
      await Promise.all([ticket, this.#openSound(microphone, ticket)]); // a refusal does not wait for the permission
      signal.throwIfAborted();
      const isOld = performance.now() - asked > TICKET_MS; // somebody thought about the permission
      await this.#connect(isOld ? await getTicket(signal) : await ticket);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @param {boolean} microphone @param {Promise<string>} ticket */
  async #openSound(microphone, ticket) {
    const { signal } = this.#stopping;
    const sound = await Sound.open({ microphone, listeners: this.#listeners(), signal }).catch(async (error) => {
      await ticket; // what the server said about it comes first
      throw error;
    });
    if (signal.aborted) {
      sound.close();
      return;
    }
    this.#audio = sound; // at once: whatever ends the session from here on closes it
    sound.listen(this.#listening);
    this.#noteSound();
  }

  /** Let the browser play sound, which a click may. */
  resume() {
    this.#audio?.resume();
  }

  /** Leave. */
  stop() {
    if (this.isOver) return;
    this.#close();
    this.#tell.state("ended", "You ended the session.");
  }

  /** Have the agent be silent. */
  interrupt() {
    this.#link?.send({ type: "interrupt" });
  }

  /** Say something by keyboard. @param {string} text */
  sendText(text) {
    this.#link?.send({ type: "text", text });
  }

  /** Whether the microphone is heard; otherwise the agent hears silence. @param {boolean} listening */
  listen(listening) {
    this.#listening = listening;
    this.#audio?.listen(listening);
  }

  // --- the connection ---

  /** @param {string} ticket */
  async #connect(ticket) {
    const { signal } = this.#stopping;
    const handlers = {
      message: (/** @type {Record<string, any>} */ message) => this.#receive(message),
      audio: (/** @type {ArrayBuffer} */ pcm) => this.#audio?.play(pcm),
      closed: (/** @type {import("./link.js").Loss} */ loss) => this.#lost(loss),
    };
    this.#flush(0);
    this.#end = null;
    this.#link = await Link.open({ ticket, rate: this.#audio?.rate ?? 0, handlers, signal });
    this.#openedAt = performance.now();
    this.#tell.state("connecting");
    this.#tell.log(`connected, ${this.#audio?.rate} Hz`);
  }

  /** @param {import("./link.js").Loss} loss */
  #lost({ again, restart = false, problem }) {
    this.#link = null; // what has arrived plays out
    if (this.#end !== null && !restart) this.#finish(this.#end);
    else if (again) void this.#reconnect();
    else this.#fail(problem);
  }

  async #reconnect() {
    const { signal } = this.#stopping;
    const now = performance.now();
    if (this.#attempts === 0 || now - this.#openedAt > STEADY_MS) {
      this.#attempts = 0;
      this.#lostAt = now;
    }
    while (!this.isOpen && !signal.aborted) {
      await this.#wait();
      try {
        await this.#connect(await getTicket(signal));
      } catch (error) {
        if (signal.aborted) return;
        const problem = asProblem(error);
        const isOver = performance.now() - this.#lostAt > GIVE_UP_MS;
        if (isOver || !WORTH_ANOTHER_TRY.has(problem.code)) this.#fail(isOver ? new Problem("lost") : problem);
      }
    }
  }

  async #wait() {
    const longest = WAITS_MS[Math.min(this.#attempts, WAITS_MS.length - 1)];
    const wait = longest * (1 - JITTER * Math.random());
    this.#attempts += 1;
    this.#tell.state("reconnecting", `Attempt ${this.#attempts}.`);
    this.#tell.log(`connection lost; attempt ${this.#attempts} in ${(wait / 1_000).toFixed(1)} s`, "warning");
    await sleep(wait, this.#stopping.signal);
  }

  /** @param {Record<string, any>} message */
  #receive(message) {
    switch (message.type) {
      case "flush":
        this.#flush(message.generation);
        break;
      case "state":
        if (message.state !== "closed") this.#tell.state(message.state);
        break;
      case "end":
        this.#end = message;
        break;
      default:
        this.#tell.message(message);
    }
  }

  // --- sound ---

  /** @param {number} generation */
  #flush(generation) {
    this.#generation = generation;
    this.#flushes += 1;
    this.#audio?.flush(this.#flushes);
  }

  /** @returns {import("./audio.js").Listeners} */
  #listeners() {
    return {
      captured: (pcm, level) => {
        this.#link?.sendAudio(pcm);
        this.#tell.level("user", level);
      },
      played: (samples, flushes, level) => {
        if (flushes === this.#flushes) this.#link?.send({ type: "played", samples, generation: this.#generation });
        this.#tell.level("agent", level);
      },
      running: () => this.#noteSound(),
      lost: () => this.#tell.problem(new Problem("microphone_lost")),
    };
  }

  #noteSound() {
    // A browser needs a moment to start the sound.
    window.setTimeout(() => {
      if (!this.isOver) this.#tell.soundBlocked(!(this.#audio?.isRunning ?? true));
    }, 300);
  }

  // --- the end ---

  /** @param {Record<string, any>} end */
  #finish(end) {
    const { title, text, peaceful } = ending(/** @type {any} */ (end));
    this.#close();
    this.#tell.log(`the session ended: ${end.reason} ${end.detail ?? ""}`.trim(), peaceful ? "info" : "warning");
    if (peaceful) {
      this.#tell.state("ended", [title, text].filter(Boolean).join(". "));
    } else {
      this.#tell.problem(Object.assign(new Problem("failed", text), { title }));
      this.#tell.state("error");
    }
  }

  /** @param {unknown} error */
  #fail(error) {
    const { aborted, reason } = this.#stopping.signal;
    if (aborted && !(reason instanceof Problem)) return; // stopped: nobody waits for this any more
    const problem = asProblem(error);
    this.#close();
    this.#tell.log(`${problem.title}: ${problem.message}`, "error");
    this.#tell.problem(problem);
    this.#tell.state("error");
  }

  #close() {
    this.#stopping.abort();
    this.#link?.close();
    this.#link = null;
    this.#audio?.close();
    this.#audio = null;
    this.#tell.soundBlocked(false);
  }
}

/** @param {number} milliseconds @param {AbortSignal} signal */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = window.setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (window.clearTimeout(timer), resolve(undefined)), { once: true });
  });
}
