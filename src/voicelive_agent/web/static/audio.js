// The microphone and the loudspeaker: one AudioContext, two AudioWorklets, 16-bit mono PCM on this side.

import { Problem, microphoneProblem } from "./problems.js";

const PREFERRED_RATE = 24_000; // the service's own: nothing is converted on the way
const HIGHEST_RATE = 48_000; // that the server takes
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/**
 * @typedef {object} Listeners
 * @property {(pcm: ArrayBuffer, level: number) => void} captured 20 ms of the microphone
 * @property {(samples: number, flushes: number, level: number) => void} played so much since the flush of this number
 * @property {(running: boolean) => void} running whether the browser lets this page sound
 * @property {() => void} lost the microphone is gone
 */

/** Sound in and out, from `open` to `close`. */
export class Sound {
  /**
   * @param {AudioContext} context
   * @param {MediaStream | null} stream
   * @param {Listeners} listeners
   */
  constructor(context, stream, listeners) {
    this.rate = context.sampleRate;
    this.#context = context;
    this.#stream = stream;
    this.#player = node(context, "playback");
    this.#player.port.onmessage = ({ data }) => listeners.played(data.played, data.flush, data.level);
    this.#player.connect(context.destination);
    context.onstatechange = () => listeners.running(this.isRunning);
    if (stream !== null) this.#capture(stream, listeners);
  }

  /** @type {AudioContext} */ #context;
  /** @type {MediaStream | null} */ #stream;
  /** @type {AudioWorkletNode} */ #player;
  /** @type {AudioWorkletNode | null} */ #recorder = null;

  /**
   * Open the loudspeaker and, if wanted, the microphone. Throws a Problem. `signal` gives up: what is opened later
   * is closed at once, so that there is never more than one capture.
   * @param {{microphone: boolean, listeners: Listeners, signal: AbortSignal}} wanted
   * @returns {Promise<Sound>}
   */
  static async open({ microphone, listeners, signal }) {
    if (!window.isSecureContext || navigator.mediaDevices === undefined) throw new Problem("insecure_origin");
    if (typeof AudioWorkletNode === "undefined") throw new Problem("unsupported");
    const opening = [openContext(), microphone ? openMicrophone() : null];
    try {
      const [context, stream] = await /** @type {Promise<[AudioContext, MediaStream | null]>} */ (Promise.all(opening));
      signal.throwIfAborted();
      const sound = await connect(context, stream, listeners);
      if (!signal.aborted) return sound;
      sound.close();
      throw signal.reason;
    } catch (error) {
      for (const opened of opening) void Promise.resolve(opened).then(letGo, () => {});
      throw error;
    }
  }

  /** Whether the browser lets this page sound. */
  get isRunning() {
    return this.#context.state === "running";
  }

  /** Whether there is a microphone. */
  get hasMicrophone() {
    return this.#recorder !== null;
  }

  /** Ask the browser once more to let this page sound; it does so when somebody has just clicked. */
  resume() {
    void this.#context.resume();
  }

  /** Play these samples after those before. @param {ArrayBuffer} pcm */
  play(pcm) {
    this.#player.port.postMessage({ pcm }, [pcm]);
  }

  /** Be silent, and count what is played from here on from 0. @param {number} number of this flush */
  flush(number) {
    this.#player.port.postMessage({ flush: number });
  }

  /** Whether the microphone is heard; otherwise silence is sent. @param {boolean} open */
  listen(open) {
    this.#recorder?.port.postMessage({ open });
  }

  /** Let go of the microphone and the loudspeaker. */
  close() {
    this.#context.onstatechange = null;
    for (const worklet of [this.#player, this.#recorder]) {
      if (worklet === null) continue;
      worklet.port.onmessage = null;
      worklet.port.postMessage({ running: false });
      worklet.disconnect();
    }
    letGo(this.#stream);
    letGo(this.#context);
  }

  /** @param {MediaStream} stream @param {Listeners} listeners */
  #capture(stream, listeners) {
    const source = this.#context.createMediaStreamSource(stream);
    this.#recorder = node(this.#context, "capture");
    this.#recorder.port.onmessage = ({ data }) => listeners.captured(data.pcm, data.level);
    source.connect(this.#recorder).connect(this.#context.destination); // a node that leads nowhere is not run
    for (const track of stream.getAudioTracks()) track.onended = listeners.lost;
  }
}

/** @param {AudioContext} context @param {string} name */
function node(context, name) {
  return new AudioWorkletNode(context, name, {
    channelCount: 1,
    channelCountMode: "explicit",
    outputChannelCount: [1],
  });
}

async function openMicrophone() {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: MICROPHONE });
  } catch (error) {
    throw microphoneProblem(error);
  }
}

/** @param {number} [rate] */
async function openContext(rate = PREFERRED_RATE) {
  const context = newContext(rate);
  if (context.sampleRate > HIGHEST_RATE) {
    void context.close();
    return openContext(HIGHEST_RATE);
  }
  void context.resume(); // if it may not yet, a button asks for the click
  await Promise.all(["capture", "playback"].map((name) => addWorklet(context, name)));
  return context;
}

/** @param {number | undefined} sampleRate */
function newContext(sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: "interactive" });
  } catch {
    return new AudioContext({ latencyHint: "interactive" }); // this browser has its own rate and no other
  }
}

/** @param {AudioContext} context @param {string} name */
function addWorklet(context, name) {
  return context.audioWorklet.addModule(new URL(`${name}-worklet.js`, import.meta.url));
}

/**
 * Some browsers (Firefox) take a microphone only into a context of its own rate.
 * @param {AudioContext} context @param {MediaStream | null} stream @param {Listeners} listeners
 */
async function connect(context, stream, listeners) {
  try {
    return new Sound(context, stream, listeners);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "NotSupportedError") throw error;
    letGo(context);
    const own = await openContext(stream?.getAudioTracks()[0]?.getSettings().sampleRate ?? HIGHEST_RATE);
    return new Sound(own, stream, listeners);
  }
}

/** @param {AudioContext | MediaStream | null} opened */
function letGo(opened) {
  if (opened instanceof MediaStream) for (const track of opened.getTracks()) track.stop();
  else if (opened !== null && opened.state !== "closed") void opened.close();
}
