// The typing page: options, one run at a time, its result, and the keys that start the next.

import { find } from "./dom.js";
import { showOwnProfileLink } from "./identity.js";
import { Options } from "./options.js";
import { ResultPanel } from "./result.js";
import { Run } from "./run.js";

const typing = find("#typing");
const panel = new ResultPanel(find("#result"));
const options = new Options(find("#options"), ({ isByMouse }) => prepare({ takeFocus: isByMouse }));
const run = new Run(typing, {
  onStart: () => document.body.classList.add("is-typing"),
  onFinish: (result) => {
    document.body.classList.remove("is-typing");
    typing.hidden = true;
    panel.show(result);
  },
});
let asked = 0;

async function prepare({ takeFocus = false } = {}) {
  asked += 1;
  const mine = asked;
  const { mode, length, language } = options;
  const vocabulary = (await import(`./words-${language}.js`)).default;
  if (mine !== asked) return; // a newer choice was made while the words loaded
  document.body.classList.remove("is-typing");
  panel.hide();
  typing.hidden = false;
  find("#words").lang = { english: "en", french: "fr", german: "de", italian: "it", portuguese: "pt", spanish: "es" }[language];
  run.prepare({ mode, length, language, vocabulary });
  if (takeFocus) run.focus();
}

const startAgain = () => prepare({ takeFocus: true });
find("#restart").addEventListener("click", startAgain);
find("#next").addEventListener("click", startAgain);
find("#options").addEventListener("submit", (event) => event.preventDefault());

addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    event.preventDefault();
    startAgain();
    return;
  }
  // Typing anywhere on the page types the test; the key itself still reaches the field. A list of
  // choices reads letters itself.
  const isLetter = event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey;
  if (isLetter && !typing.hidden && !document.activeElement?.matches("select, #typed")) run.focus();
});

const demo = find("[data-demo]");
demo?.addEventListener("change", () => demo.requestSubmit());

showOwnProfileLink();
await prepare({ takeFocus: true });
document.documentElement.dataset.ready = "true";
