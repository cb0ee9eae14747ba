// What can go wrong, in words for the person in front of the page.

/** @typedef {{title: string, text: string}} Words */

/** @type {Record<string, Words>} */
const WORDS = {
  insecure_origin: {
    title: "This address is not secure",
    text: "Browsers give the microphone only to pages that come over https or from localhost. Open this page with https://, or on the computer that serves it.",
  },
  unsupported: {
    title: "This browser is too old",
    text: "It has no AudioWorklet, which this page needs. Please update it, or use another one.",
  },
  no_permission: {
    title: "The microphone is blocked",
    text: "Allow it for this page in the browser's address bar and press Start again, or type below: that needs no microphone.",
  },
  no_microphone: {
    title: "No microphone was found",
    text: "Connect one and press Start again, or type below: that needs no microphone.",
  },
  microphone_busy: {
    title: "The microphone cannot be used",
    text: "Another program may hold it. Close that program and press Start again, or type below.",
  },
  microphone_lost: {
    title: "The microphone is gone",
    text: "It was unplugged or taken away, and the agent hears silence. Type below, or press Stop and Start with another one.",
  },
  no_sound: {
    title: "The browser keeps this page silent",
    text: "It plays no sound before somebody has clicked here.",
  },
  server_full: { title: "The server is full", text: "All places are taken. Try again in a few minutes." },
  address_full: { title: "Too many calls", text: "There are too many calls from your address. Close one first." },
  draining: { title: "No new calls just now", text: "Try again in a minute." },
  forbidden: { title: "The server refused this page", text: "This page may not talk to this server." },
  refused: { title: "The server refused this call", text: "" },
  unreachable: { title: "The server cannot be reached", text: "Check your connection and press Start again." },
  lost: { title: "The connection was lost", text: "It could not be opened again. Press Start to try once more." },
  closed: { title: "The server ended the session", text: "It did not say why. Press Start to try again." },
  failed: { title: "Something failed on the server", text: "Press Start to try again." },
  page_failed: { title: "This page failed", text: "Reload it, and please report what the log below says." },
};

/** Something that the person is to be told; `code` is one of those above, or one of the server's. */
export class Problem extends Error {
  /** @param {string} code @param {string} [text] what the server says about it */
  constructor(code, text = "") {
    const words = WORDS[code] ?? WORDS.failed;
    super(text || words.text);
    this.code = code;
    this.title = words.title;
  }
}

/** @type {Record<string, string>} */
const MICROPHONE = {
  NotAllowedError: "no_permission",
  SecurityError: "no_permission",
  NotFoundError: "no_microphone",
  OverconstrainedError: "no_microphone",
  NotReadableError: "microphone_busy",
  AbortError: "microphone_busy",
};

/** What `getUserMedia` threw, as a Problem. @param {unknown} error */
export function microphoneProblem(error) {
  const name = error instanceof DOMException ? error.name : "";
  return name in MICROPHONE ? new Problem(MICROPHONE[name]) : error;
}

/** Anything that was thrown, as a Problem. @param {unknown} error */
export function asProblem(error) {
  return error instanceof Problem ? error : new Problem("page_failed", String(error));
}

/** How a call ended, by the reason the server gives. @type {Record<string, string>} */
const ENDINGS = {
  stopped: "The agent ended the session",
  source_finished: "The session is over",
  hung_up: "The session is over",
  service_closed: "The voice service ended the session",
  expired: "The time of this session is over",
  configuration: "The voice service refused the configuration",
  authentication: "The voice service refused the credential",
  not_found: "The voice service does not know this model",
  rate_limited: "The voice service is busy",
  unavailable: "The voice service cannot be reached",
  network: "The connection to the voice service broke",
  too_large: "A message was too large",
  protocol: "The voice service and this server misunderstood each other",
  failed: "The agent failed",
};

/** Endings that somebody asked for, or that come with time: nothing is wrong. */
const PEACEFUL = new Set(["stopped", "source_finished", "hung_up", "service_closed", "expired"]);

/**
 * What the person is told about the end of a call.
 * @param {{reason: string, detail?: string, hint?: string}} end
 * @returns {{title: string, text: string, peaceful: boolean}}
 */
export function ending({ reason, detail = "", hint = "" }) {
  const title = ENDINGS[reason] ?? "The session ended";
  return { title, text: [detail, hint].filter(Boolean).join(" "), peaceful: PEACEFUL.has(reason) };
}
