// How loud both sides were, over the time of the session: the user above the line, the answers below it.

const STEP_S = 0.1; // of one level
const ROOM_PX = 16; // for the times
const TICKS_S = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200];
const TICK_PX = 70;

/** @typedef {{number: number, at: number, end: number, levels: number[]}} Piece */

/** A small drawing, on one canvas. */
export class Levels {
  /** @type {{user: Piece[], agent: Piece[]}} */ #pieces = { user: [], agent: [] };
  #canvas; #span;
  #cut = { number: 0, at: 0 };
  #lasts = 1;
  /** @type {number | null} */ #mark = null;
  #frame = 0;

  /** @param {HTMLCanvasElement} canvas @param {HTMLElement} span */
  constructor(canvas, span) {
    this.#canvas = canvas;
    this.#span = span;
    new ResizeObserver(() => this.repaint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
  }

  clear() {
    this.#pieces = { user: [], agent: [] };
    this.#mark = null;
    this.#cut = { number: 0, at: 0 };
  }

  /** When the first sound was, which is where a recording of the session begins. */
  get start() {
    return Math.min(...this.#both().map((piece) => piece.at));
  }

  /** @param {Record<"user" | "agent", any[]>} levels @param {{number: number, at: number}} cut */
  take(levels, cut) {
    for (const side of /** @type {("user" | "agent")[]} */ (["user", "agent"])) {
      for (const [number, at, lasts, values] of levels[side]) {
        this.#pieces[side].push({ number, at, end: at + lasts, levels: values });
      }
    }
    if (cut.number !== this.#cut.number || cut.at !== this.#cut.at) {
      this.#cut = cut;
      for (const piece of this.#pieces.agent) { // what an interruption cut off was not heard
        if (piece.number <= cut.number) piece.end = Math.min(piece.end, Math.max(cut.at, piece.at));
      }
    }
  }

  /** Draw it. @param {number} lasts seconds of the session */
  show(lasts) {
    this.#lasts = Math.max(1, lasts, ...this.#both().slice(-1).map((piece) => piece.end), this.#end("user"), this.#end("agent"));
    const total = (/** @type {Piece[]} */ pieces) => pieces.reduce((sum, piece) => sum + piece.end - piece.at, 0).toFixed(1);
    const { user, agent } = this.#pieces;
    const told = `${total(user)} s of the user's audio, ${total(agent)} s of answers`;
    this.#canvas.setAttribute("aria-label", `Levels over time: ${told}`);
    this.#span.textContent = user.length + agent.length > 0 ? ` · ${told}` : " · no audio yet";
    this.repaint();
  }

  /** Show what is being played. @param {number | null} seconds of the session */
  mark(seconds) {
    this.#mark = seconds;
    this.repaint();
  }

  repaint() {
    if (this.#frame === 0) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #both() {
    return [...this.#pieces.user, ...this.#pieces.agent];
  }

  /** @param {"user" | "agent"} side */
  #end(side) {
    return this.#pieces[side].at(-1)?.end ?? 0;
  }

  #draw() {
    this.#frame = 0;
    const canvas = this.#canvas;
    const { clientWidth: width, clientHeight: height } = canvas;
    const brush = canvas.getContext("2d");
    if (brush === null || width === 0) return;
    const scale = devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    brush.scale(scale, scale);
    const style = getComputedStyle(canvas);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name);
    const middle = (height - ROOM_PX) / 2;
    this.#times(brush, width, height, colour("--line"), colour("--muted"), style.fontFamily);
    for (const [side, up, name] of /** @type {["user" | "agent", boolean, string][]} */ ([["user", true, "--user"], ["agent", false, "--agent"]])) {
      brush.fillStyle = colour(name);
      this.#columns(side, width).forEach((level, x) => {
        const size = level * (middle - 2);
        if (size > 0) brush.fillRect(x, up ? middle - size : middle, 1, size);
      });
    }
    brush.fillStyle = colour("--edge");
    brush.fillRect(0, middle - 0.5, width, 1);
    if (this.#mark !== null) {
      brush.fillStyle = colour("--text");
      brush.fillRect((this.#mark / this.#lasts) * width - 1, 0, 2, height - ROOM_PX);
    }
  }

  /** The loudest level in each pixel. @param {"user" | "agent"} side @param {number} width */
  #columns(side, width) {
    const columns = new Array(Math.ceil(width)).fill(0);
    const perSecond = width / this.#lasts;
    for (const { at, end, levels } of this.#pieces[side]) {
      levels.forEach((level, index) => {
        const from = at + index * STEP_S;
        const to = Math.min(end, from + STEP_S);
        for (let x = Math.floor(from * perSecond); from < to && x < Math.max(to * perSecond, from * perSecond + 0.01); x += 1) {
          if (level > (columns[x] ?? 1)) columns[x] = level;
        }
      });
    }
    return columns;
  }

  /** @param {CanvasRenderingContext2D} brush @param {number} width @param {number} height @param {string} line @param {string} text @param {string} family */
  #times(brush, width, height, line, text, family) {
    const most = Math.max(1, Math.floor(width / TICK_PX));
    const step = TICKS_S.find((each) => this.#lasts / each <= most) ?? Math.ceil(this.#lasts / most);
    brush.font = `11px ${family}`;
    for (let at = 0; at <= this.#lasts; at += step) {
      const x = (at / this.#lasts) * width;
      const label = step < 60 ? `${at} s` : `${at / 60} min`;
      brush.fillStyle = line;
      brush.fillRect(x, 0, 1, height - ROOM_PX);
      brush.fillStyle = text;
      if (x + brush.measureText(label).width + 2 < width) brush.fillText(label, x + 2, height - 4);
    }
  }
}
