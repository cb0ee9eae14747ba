// Level meters, and the halo that moves with whoever speaks.

const QUIETEST_DB = -54;
const FALL_PER_S = 2.2; // a meter that only jumps is unpleasant to look at
const TELL_MS = 500; // how often assistive technology gets a new value

/** Loudness of both sides. */
export class Levels {
  /** @type {Record<"user" | "agent", HTMLElement>} */ #meters;
  /** @type {HTMLElement} */ #halo;
  #shown = { user: 0, agent: 0 };
  #latest = { user: 0, agent: 0 };
  #drawnAt = 0;
  #toldAt = 0;
  #frame = 0;

  /** @param {{user: HTMLElement, agent: HTMLElement}} meters @param {HTMLElement} halo */
  constructor(meters, halo) {
    this.#meters = meters;
    this.#halo = halo;
  }

  /** @param {"user" | "agent"} who @param {number} level of the amplitude, 0 to 1 */
  show(who, level) {
    const decibels = 20 * Math.log10(Math.max(level, 1e-6));
    this.#latest[who] = Math.max(this.#latest[who], Math.min(1, Math.max(0, 1 - decibels / QUIETEST_DB)));
    if (this.#frame === 0) {
      this.#drawnAt = performance.now();
      this.#frame = requestAnimationFrame((now) => this.#draw(now));
    }
  }

  /** @param {number} now */
  #draw(now) {
    const fall = (FALL_PER_S * Math.max(0, now - this.#drawnAt)) / 1_000;
    this.#drawnAt = now;
    for (const who of /** @type {("user" | "agent")[]} */ (["user", "agent"])) {
      this.#shown[who] = Math.max(this.#latest[who], this.#shown[who] - fall, 0);
      this.#latest[who] = 0;
      this.#meters[who].style.setProperty("--level", this.#shown[who].toFixed(3));
    }
    const { user, agent } = this.#shown;
    this.#halo.style.setProperty("--level", Math.max(user, agent).toFixed(3));
    if (now - this.#toldAt > TELL_MS) this.#announce(now);
    this.#frame = user + agent > 0 ? requestAnimationFrame((next) => this.#draw(next)) : 0;
    if (this.#frame === 0) this.#announce(now);
  }

  /** @param {number} now */
  #announce(now) {
    this.#toldAt = now;
    this.#meters.user.setAttribute("aria-valuenow", String(Math.round(100 * this.#shown.user)));
    this.#meters.agent.setAttribute("aria-valuenow", String(Math.round(100 * this.#shown.agent)));
  }
}
