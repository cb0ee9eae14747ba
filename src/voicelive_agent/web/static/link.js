// One connection to the server: a start ticket, a WebSocket, and a watch on whether the server is still there.

import { Problem } from "./problems.js";

const SILENCE_MS = 13_000; // the server pings every 5 s
const OPENING_MS = 10_000;
const NORMAL = 1000;
const REFUSALS = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
const INTERNAL_ERROR = 1011;
const RESTART = 1012;
const BUSY = 1013;

/**
 * @typedef {object} Handlers
 * @property {(message: Record<string, any>) => void} message a message of the server
 * @property {(pcm: ArrayBuffer) => void} audio what the agent says
 * @property {(loss: Loss) => void} closed the server is gone
 *
 * @typedef {object} Loss
 * @property {boolean} again whether it makes sense to come back
 * @property {boolean} [restart] whether the server asks for that: the session's end was only its own
 * @property {Problem} problem what to say if not
 */

/** A ticket, which whoever wants to open a connection must have. Throws a Problem. @param {AbortSignal} signal */
export async function getTicket(signal) {
  const limit = AbortSignal.timeout(OPENING_MS);
  let response;
  try {
    response = await fetch("start", { method: "POST", signal: AbortSignal.any?.([signal, limit]) ?? signal });
  } catch {
    signal.throwIfAborted();
    throw new Problem("unreachable");
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body.ticket;
  throw new Problem(body.error?.code ?? (response.status === 403 ? "forbidden" : "failed"), body.error?.message);
}

/** A WebSocket that is open and was answered `ready`. */
export class Link {
  /** @type {WebSocket} */ #socket;
  /** @type {Handlers} */ #handlers;
  #seen = performance.now();
  #watch = 0;

  /** @param {WebSocket} socket @param {Handlers} handlers */
  constructor(socket, handlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lose(lossOf(code, reason));
    this.#watch = window.setInterval(() => this.#check(), 1_000);
  }

  /**
   * Throws a Problem if the server cannot be reached or says no.
   * @param {{ticket: string, rate: number, handlers: Handlers, signal: AbortSignal}} wanted
   * @returns {Promise<Link>}
   */
  static open({ ticket, rate, handlers, signal }) {
    const url = new URL("ws", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      const settle = (/** @type {() => void} */ then) => {
        window.clearTimeout(timer);
        signal.removeEventListener("abort", giveUp);
        then();
      };
      const giveUp = () => settle(() => (abandon(socket), reject(signal.reason)));
      const tooLate = () => settle(() => (abandon(socket), reject(new Problem("unreachable"))));
      const timer = window.setTimeout(tooLate, OPENING_MS);
      signal.addEventListener("abort", giveUp);
      if (signal.aborted) giveUp();
      socket.onopen = () => socket.send(JSON.stringify({ type: "hello", rate, ticket }));
      socket.onclose = ({ code, reason }) => settle(() => reject(lossOf(code, reason, "unreachable").problem));
      socket.onmessage = ({ data }) => {
        if (typeof data !== "string" || JSON.parse(data).type !== "ready") return;
        settle(() => resolve(new Link(socket, handlers)));
      };
    });
  }

  /** @param {object} message */
  send(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {ArrayBuffer} pcm */
  sendAudio(pcm) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(pcm);
  }

  /** Leave: nothing comes from here any more. */
  close() {
    window.clearInterval(this.#watch);
    this.send({ type: "bye" });
    abandon(this.#socket);
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    this.#seen = performance.now();
    if (typeof data !== "string") {
      this.#handlers.audio(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "ping") this.send({ type: "pong", id: message.id });
    else this.#handlers.message(message);
  }

  #check() {
    if (performance.now() - this.#seen > SILENCE_MS) this.#lose({ again: true, problem: new Problem("lost") });
  }

  /** @param {Loss} loss */
  #lose(loss) {
    window.clearInterval(this.#watch);
    abandon(this.#socket);
    this.#handlers.closed(loss);
  }
}

/** @param {WebSocket} socket */
function abandon(socket) {
  socket.onopen = socket.onmessage = socket.onclose = null;
  socket.close(NORMAL);
}

/**
 * What a close code means for the person.
 * @param {number} code @param {string} reason @param {string} otherwise a Problem's code
 * @returns {Loss}
 */
function lossOf(code, reason, otherwise = "lost") {
  if (code === NORMAL) return { again: false, problem: new Problem("closed", reason) };
  if (code === RESTART) return { again: true, restart: true, problem: new Problem("lost") };
  if (code === BUSY) return { again: true, problem: new Problem("server_full", reason) };
  if (code === INTERNAL_ERROR) return { again: false, problem: new Problem("failed", reason) };
  if (REFUSALS.has(code)) return { again: false, problem: new Problem("refused", reason) };
  return { again: true, problem: new Problem(otherwise) };
}
