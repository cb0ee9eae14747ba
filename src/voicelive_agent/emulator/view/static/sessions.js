// The list of sessions, newest first.

/** Minutes and seconds. @param {any} session @param {number} now */
export function clock(session, now) {
  const seconds = Math.max(0, Math.floor(session.lasted ?? now - session.opened));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** How a session stands, in words. @param {any} session */
export function story(session) {
  if (session.state !== "closed") return `Open: ${session.state}`;
  const code = session.code === null ? "without a close frame" : `with ${session.code}`;
  const after = session.lasted < 60 ? `${session.lasted.toFixed(1)} s` : clock(session, 0);
  return `Closed ${code}${session.reason ? ` (${session.reason})` : ""} after ${after}`;
}

/** Shows the sessions as buttons, of which one is chosen. */
export class Sessions {
  /** @type {Map<number, HTMLButtonElement>} */ #buttons = new Map();
  #list; #none; #count; #choose;

  /** @param {HTMLElement} list @param {HTMLElement} none @param {HTMLElement} count @param {(number: number) => void} choose */
  constructor(list, none, count, choose) {
    this.#list = list;
    this.#none = none;
    this.#count = count;
    this.#choose = choose;
  }

  /** @param {any[]} sessions @param {number | null} chosen @param {number} now */
  show(sessions, chosen, now) {
    const kept = new Set(sessions.map((each) => each.number));
    for (const [number, button] of this.#buttons) {
      if (!kept.has(number)) {
        button.parentElement?.remove();
        this.#buttons.delete(number);
      }
    }
    for (const session of [...sessions].reverse()) {
      const button = this.#buttons.get(session.number) ?? this.#add(session.number);
      button.setAttribute("aria-current", String(session.number === chosen));
      button.dataset.state = session.state;
      const [name, state, time] = button.children;
      name.textContent = `${session.number} · ${session.model || "no model"}`;
      state.textContent = session.state === "closed" ? `closed ${session.code ?? "abruptly"}` : session.state;
      time.textContent = clock(session, now);
    }
    this.#none.hidden = sessions.length > 0;
    const open = sessions.filter((each) => each.state !== "closed").length;
    this.#count.textContent = sessions.length > 0 ? `${open} open` : "";
  }

  /** @param {number} number */
  #add(number) {
    const button = document.createElement("button");
    button.type = "button";
    for (const name of ["name", "how", "time"]) {
      const part = document.createElement("span");
      part.className = name;
      button.append(part);
    }
    button.addEventListener("click", () => this.#choose(number));
    const item = document.createElement("li");
    item.append(button);
    this.#list.prepend(item);
    this.#buttons.set(number, button);
    return button;
  }
}
