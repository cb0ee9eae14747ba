// What was said, as it is being said: one entry for each item, which later words replace.
// Whatever comes from outside is put in as text: what somebody says can never become part of the page.

const LONGEST = 300; // entries
const NEAR_PX = 60;
const NAMES = { user: "You", agent: "Agent" };

/** @typedef {{element: HTMLLIElement, who: "user" | "agent", text: string, final: boolean, heard: string | null}} Words */

/** The running transcript: words, tools, and where a new session begins. */
export class Transcript {
  /** @type {HTMLElement} */ #list;
  /** @type {HTMLElement} */ #spoken;
  /** @type {Map<string, Words>} */ #words = new Map();
  /** @type {Map<string, HTMLLIElement>} */ #tools = new Map();
  #division = "";

  /** @param {HTMLElement} list @param {HTMLElement} spoken what screen readers read out */
  constructor(list, spoken) {
    this.#list = list;
    this.#spoken = spoken;
  }

  /** @param {{who: "user" | "agent", item_id: string, text: string, final: boolean}} message */
  show({ who, item_id, text, final }) {
    let words = this.#words.get(item_id);
    if (words === undefined) {
      words = { element: this.#add(`words ${who}`), who, text, final, heard: null };
      this.#words.set(item_id, words);
    }
    Object.assign(words, { text, final });
    this.#draw(words);
    if (final && text && words.heard === null) this.#say(`${NAMES[who]}: ${text}`);
  }

  /** What was typed here. @param {string} text */
  typed(text) {
    this.#draw({ element: this.#add("words user"), who: "user", text, final: true, heard: null });
    this.#scroll(true);
  }

  /** The agent was cut off: the listener knows `heard_text`. @param {{item_id: string, heard_text: string}} message */
  interrupt({ item_id, heard_text }) {
    const words = this.#words.get(item_id);
    if (words === undefined) return;
    words.heard = heard_text;
    this.#draw(words);
    this.#say(`Agent, interrupted: ${heard_text}`);
  }

  /** @param {{call_id: string, name: string, status: string, elapsed_ms?: number, error?: string}} message */
  tool({ call_id, name, status, elapsed_ms, error }) {
    const entry = this.#tools.get(call_id) ?? this.#add("aside tool");
    this.#tools.set(call_id, entry);
    const outcome = status === "called" ? "…" : error ? `failed: ${error}` : `${elapsed_ms} ms`;
    entry.classList.toggle("failed", Boolean(error));
    entry.replaceChildren(icon("icon-tool"), make("code", name), make("span", outcome));
    this.#scroll();
  }

  /** A new session, which knows nothing of the one before: its first words come below this. @param {string} text */
  divide(text) {
    this.#division = text;
    this.#words.clear();
    this.#tools.clear();
  }

  // --- the page ---

  /** @param {Words} words */
  #draw({ element, who, text, final, heard }) {
    element.hidden = !text; // an utterance without words, or whose words are still to come
    element.classList.toggle("partial", !final && heard === null);
    const name = make("span", heard === null ? NAMES[who] : `${NAMES[who]} · interrupted`);
    name.className = "who";
    const [known, lost] = heard === null ? [text, ""] : split(text, heard);
    const paragraph = make("p", known);
    if (lost) {
      const unheard = make("s", lost);
      unheard.prepend(unseen("not heard: "));
      paragraph.append(unheard);
    }
    element.replaceChildren(name, paragraph);
    this.#scroll();
  }

  /** @param {string} kind */
  #add(kind) {
    const division = this.#division;
    this.#division = "";
    if (division && this.#list.childElementCount > 0) this.#add("aside break").append(make("span", division));
    const entry = document.createElement("li");
    entry.className = kind;
    this.#list.append(entry);
    while (this.#list.childElementCount > LONGEST) this.#list.firstElementChild?.remove();
    return entry;
  }

  /** @param {string} text */
  #say(text) {
    this.#spoken.append(make("p", text));
    while (this.#spoken.childElementCount > 5) this.#spoken.firstElementChild?.remove();
  }

  /** Follow the words, unless somebody reads further up. */
  #scroll(always = false) {
    const list = this.#list;
    const below = list.scrollHeight - list.scrollTop - list.clientHeight;
    const last = list.lastElementChild?.clientHeight ?? 0;
    if (always || below < last + NEAR_PX) list.scrollTop = list.scrollHeight;
  }
}

/**
 * What was heard of a text, and the rest. The two may differ in white space, so the other characters are counted.
 * @param {string} text @param {string} heard
 * @returns {[string, string]}
 */
export function split(text, heard) {
  let left = heard.replace(/\s/g, "").length;
  let at = 0;
  while (at < text.length && (left > 0 || /\s/.test(text[at]))) if (/\S/.test(text[at++])) left -= 1;
  return [text.slice(0, at), text.slice(at)];
}

/** @param {string} tag @param {string} text @returns {HTMLElement} */
export function make(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/** @param {string} text */
function unseen(text) {
  const element = make("span", text);
  element.className = "unseen";
  return element;
}

/** @param {string} id */
function icon(id) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#${id}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}
