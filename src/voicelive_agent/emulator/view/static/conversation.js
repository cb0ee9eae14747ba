// Who said what: the lines of a conversation, each with a button that plays it.

const NAMES = { user: "User", agent: "Answer", system: "System", tool: "Tool", error: "Error" };
const NEAR_PX = 60;

/** The conversation of the chosen session. */
export class Conversation {
  /** @type {Map<string, HTMLElement>} */ #items = new Map();
  #list; #none; #play;

  /** @param {HTMLElement} list @param {HTMLElement} none @param {(id: string, button: HTMLElement) => void} play */
  constructor(list, none, play) {
    this.#list = list;
    this.#none = none;
    this.#play = play;
  }

  clear() {
    this.#items.clear();
    this.#list.replaceChildren();
    this.#none.hidden = false;
  }

  /** @param {any[]} lines new ones, and those that changed */
  take(lines) {
    const end = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < NEAR_PX;
    for (const line of lines) this.#show(this.#items.get(line.id) ?? this.#add(line), line);
    this.#none.hidden = this.#items.size > 0;
    if (end && lines.length > 0) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {any} line */
  #add(line) {
    const item = document.createElement("li");
    const head = document.createElement("div");
    const who = document.createElement("span");
    const time = document.createElement("time");
    head.className = "who";
    who.textContent = NAMES[/** @type {keyof typeof NAMES} */ (line.side)];
    time.textContent = `${line.at_s.toFixed(1)} s`;
    head.append(who, " ", time);
    const [text, output, note] = ["p", "p", "p"].map((name) => document.createElement(name));
    text.className = "text";
    output.className = "output";
    note.className = "remark";
    item.append(head, text, output, note);
    this.#items.set(line.id, item);
    this.#list.append(item);
    return item;
  }

  /** @param {HTMLElement} item @param {any} line */
  #show(item, line) {
    item.className = `line ${line.side}${line.partial ? " partial" : ""}`;
    const [head, text, output, note] = /** @type {HTMLElement[]} */ ([...item.children]);
    text.textContent = line.text || (line.partial ? "…" : "");
    text.hidden = text.textContent === "";
    output.textContent = line.output === null ? "" : `→ ${line.output}`;
    output.hidden = line.output === null;
    note.textContent = line.side === "tool" ? "" : line.note;
    note.hidden = note.textContent === "";
    if (line.spoken && head.querySelector("button") === null) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "play";
      button.textContent = "Play";
      button.setAttribute("aria-label", `Play: ${NAMES[/** @type {keyof typeof NAMES} */ (line.side)]} at ${line.at_s.toFixed(1)} s`);
      button.addEventListener("click", () => this.#play(line.id, button));
      head.append(button);
    }
  }
}
