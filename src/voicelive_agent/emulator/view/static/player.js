// Plays what was said: one thing at a time, in one player. The button that began it ends it.

/** The one audio element of the page. */
export class Player {
  #audio; #trouble; #moved;
  /** @type {HTMLElement | null} */ #button = null;
  #name = "";
  #url = "";
  /** @type {number | null} */ #offset = null;
  #asked = 0;

  /** @param {HTMLAudioElement} audio @param {HTMLElement} trouble @param {(seconds: number | null) => void} moved */
  constructor(audio, trouble, moved) {
    this.#audio = audio;
    this.#trouble = trouble;
    this.#moved = moved;
    audio.addEventListener("timeupdate", () => this.#moved(this.#offset === null ? null : this.#offset + audio.currentTime));
    audio.addEventListener("play", () => this.#label("Stop"));
    for (const name of ["pause", "ended"]) audio.addEventListener(name, () => this.#label(this.#name));
  }

  /** @param {string} url @param {HTMLElement} button @param {number | null} offset where it begins in the session */
  async toggle(url, button, offset = null) {
    const same = this.#button === button;
    const playing = same && !this.#audio.paused;
    this.stop();
    if (playing) return;
    const asked = ++this.#asked;
    const [body, why] = await fetched(url);
    if (asked !== this.#asked) return; // something else was chosen meanwhile
    this.#trouble.textContent = why;
    if (body === null) return;
    this.#button = button;
    this.#name = button.textContent ?? "Play";
    this.#offset = offset;
    this.#url = URL.createObjectURL(body);
    this.#audio.src = this.#url;
    try {
      await this.#audio.play();
    } catch (error) {
      if (asked === this.#asked) this.#trouble.textContent = `The browser does not play it: ${error instanceof Error ? error.message : error}`;
    }
  }

  stop() {
    this.#asked += 1;
    this.#audio.pause();
    this.#audio.removeAttribute("src");
    URL.revokeObjectURL(this.#url);
    this.#label(this.#name);
    this.#button = null;
    this.#offset = null;
    this.#moved(null);
    this.#trouble.textContent = "";
  }

  /** @param {string} text */
  #label(text) {
    if (this.#button !== null) this.#button.textContent = text;
  }
}

/** @param {string} url @returns {Promise<[Blob | null, string]>} */
async function fetched(url) {
  try {
    const answer = await fetch(url);
    return answer.ok ? [await answer.blob(), ""] : [null, await answer.text()];
  } catch {
    return [null, "The emulator does not answer."];
  }
}
