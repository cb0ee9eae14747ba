// Hold to talk: the microphone is heard only while the button, or the space bar, is held. Otherwise the agent hears
// silence, and its turn detection decides as ever.

/**
 * @param {object} parts
 * @param {HTMLInputElement} parts.mode the switch
 * @param {HTMLButtonElement} parts.button
 * @param {(listening: boolean) => void} parts.listen
 * @param {() => boolean} parts.canTalk
 */
export function holdToTalk({ mode, button, listen, canTalk }) {
  const hold = (/** @type {boolean} */ held) => {
    button.setAttribute("aria-pressed", String(held));
    listen(!mode.checked || held);
  };
  const show = () => {
    button.hidden = !mode.checked;
    hold(false);
  };
  const isOurs = (/** @type {KeyboardEvent} */ event) =>
    event.code === "Space" && mode.checked && canTalk() && !isTyping(event.target);

  mode.addEventListener("change", show);
  button.addEventListener("pointerdown", (event) => {
    button.setPointerCapture(event.pointerId);
    hold(true);
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    button.addEventListener(kind, () => hold(false));
  }
  button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long press on a phone
  document.addEventListener("keydown", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault(); // no button is pressed by it
    if (!event.repeat) hold(true);
  });
  document.addEventListener("keyup", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    hold(false);
  });
  window.addEventListener("blur", () => hold(false)); // the key may be let go elsewhere
  show();
}

/** Whether a space belongs to what has the focus. @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLElement && target.matches("input, textarea, select, summary, a, #theme, #interrupt, .send");
}
