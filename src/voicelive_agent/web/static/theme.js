// Light, dark, or as the system has it.

const THEMES = ["", "light", "dark"];
/** @type {Record<string, string>} */
const NAMES = { "": "Automatic", light: "Light", dark: "Dark" };
const KEY = "voicelive-agent.theme";

/** Let a button go through the themes. @param {HTMLElement} button @param {HTMLElement} name */
export function themes(button, name) {
  let theme = remembered();
  const show = () => {
    document.documentElement.dataset.theme = theme;
    name.textContent = NAMES[theme];
    button.setAttribute("aria-label", `Theme: ${NAMES[theme]}`);
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember(theme);
    show();
  });
  show();
}

function remembered() {
  try {
    const theme = localStorage.getItem(KEY) ?? "";
    return THEMES.includes(theme) ? theme : "";
  } catch {
    return ""; // a browser may keep a page from storing anything
  }
}

/** @param {string} theme */
function remember(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // then it is chosen anew next time
  }
}
