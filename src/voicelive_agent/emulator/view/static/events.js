// The events of a session: one line each, and the JSON of those that are opened.

const MOST = 4_000; // the server keeps no more
const INDENT = 2;

/** The list of events, with its filters. */
export class Events {
  #list; #shown; #urlOf;
  #filter = input("filter"); #client = input("from-client"); #server = input("from-server");
  #audio = input("with-audio"); #follow = input("follow");

  /** @param {HTMLElement} list @param {HTMLElement} shown @param {(seq: number) => string} urlOf */
  constructor(list, shown, urlOf) {
    this.#list = list;
    this.#shown = shown;
    this.#urlOf = urlOf;
    for (const each of [this.#filter, this.#client, this.#server, this.#audio]) {
      each.addEventListener("input", () => this.#sift(this.#rows()));
    }
    this.#follow.addEventListener("input", () => this.#toEnd());
    list.addEventListener("toggle", (event) => this.#opened(/** @type {HTMLDetailsElement} */ (event.target)), true);
  }

  clear() {
    this.#list.replaceChildren();
    this.#count();
  }

  /** @param {any[]} events */
  take(events) {
    if (events.length === 0) return;
    const rows = events.map(row);
    this.#sift(rows);
    this.#list.append(...rows);
    while (this.#list.childElementCount > MOST) this.#list.firstElementChild?.remove();
    this.#count();
    this.#toEnd();
  }

  #rows() {
    return /** @type {HTMLElement[]} */ ([...this.#list.children]);
  }

  /** Hide what the filters leave out. @param {HTMLElement[]} rows */
  #sift(rows) {
    const wanted = this.#filter.value.trim().toLowerCase();
    const sides = { client: this.#client.checked, server: this.#server.checked };
    for (const each of rows) {
      const who = /** @type {"client" | "server"} */ (each.dataset.who);
      const quiet = each.dataset.audio !== "true" || this.#audio.checked;
      each.hidden = !sides[who] || !quiet || !(each.dataset.type ?? "").includes(wanted);
    }
    this.#count();
    this.#toEnd();
  }

  #count() {
    const rows = this.#rows();
    const visible = rows.filter((each) => !each.hidden).length;
    this.#shown.textContent = rows.length === 0 ? "" : `${visible} of ${rows.length}`;
  }

  #toEnd() {
    if (this.#follow.checked) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {HTMLDetailsElement} details */
  async #opened(details) {
    const body = details.querySelector("pre");
    if (!details.open || body === null || body.textContent !== "") return;
    this.#follow.checked = false; // who reads does not want it to run away
    body.textContent = "…";
    try {
      const answer = await fetch(this.#urlOf(Number(details.dataset.seq)));
      body.textContent = answer.ok ? JSON.stringify(await answer.json(), null, INDENT) : await answer.text();
    } catch {
      body.textContent = "The emulator does not answer.";
    }
  }
}

/** @param {string} id */
function input(id) {
  return /** @type {HTMLInputElement} */ (document.getElementById(id));
}

/** @param {any} event */
function row(event) {
  const item = document.createElement("li");
  item.dataset.who = event.who;
  item.dataset.type = event.type.toLowerCase();
  item.dataset.audio = String(event.audio);
  const details = document.createElement("details");
  details.dataset.seq = String(event.seq);
  const summary = document.createElement("summary");
  const parts = { time: event.at.toFixed(3), from: event.who, type: event.type, about: event.note };
  for (const [name, text] of Object.entries(parts)) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    summary.append(part, " ");
  }
  const body = document.createElement("pre");
  body.tabIndex = 0;
  details.append(summary, body);
  item.append(details);
  return item;
}
