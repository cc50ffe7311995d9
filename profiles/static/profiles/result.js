// Shows a finished test: figures, chart, then what it unlocked and what it moved.

import { explainFailure, isFinal } from "./api.js";
import { drawChart } from "./chart.js";
import { find, make } from "./dom.js";
import { count, formatNumber } from "./format.js";
import { token, userId } from "./identity.js";
import { followOutcome, saveResult } from "./outcome.js";
import { describeUnlocks, gatherUnlocks, makeProgressLine, makeUnlockCard, showToasts } from "./unlocks.js";

const CARDS_SHOWN = 6;
const CLOSEST_SHOWN = 4;

export class ResultPanel {
  constructor(root) {
    this.root = root;
    this.status = find("#outcome-status", root);
    this.announcer = find("#announcer");
    this.shown = null;
    addEventListener("resize", () => {
      if (this.shown) drawChart(find("#chart", this.root), this.shown);
    });
  }

  show(result) {
    this.shown = result;
    const write = (name, text) => {
      find(`#result-${name}`, this.root).textContent = text;
    };
    write("wpm", formatNumber(Math.round(result.wpm)));
    write("accuracy", `${formatNumber(Math.floor(result.accuracy))}%`);
    write("raw", formatNumber(Math.round(result.rawWpm)));
    write("consistency", result.consistency == null ? "–" : `${Math.round(result.consistency)}%`);
    write("characters", `${result.correctCharacters} / ${result.characters}`);
    write("duration", `${formatNumber(result.durationSeconds)} s`);
    write("test", `${result.mode} ${result.length} ${result.language}`);
    find("#result-wpm", this.root).title = `${result.wpm} wpm`;
    find("#result-accuracy", this.root).title = `${result.accuracy}%`;
    this.clearOutcome();
    this.root.hidden = false;
    drawChart(find("#chart", this.root), result);
    find("#result-title", this.root).focus({ preventScroll: true });
    this.announcer.textContent =
      `${Math.round(result.wpm)} words a minute, ${Math.floor(result.accuracy)} percent accurate.`;
    return this.check(result);
  }

  hide() {
    this.shown = null;
    this.root.hidden = true;
  }

  clearOutcome() {
    find("#unlocks", this.root).replaceChildren();
    find("#closest-list", this.root).replaceChildren();
    find("#closest", this.root).hidden = true;
    this.say("", "idle");
  }

  say(words, state, ...more) {
    this.status.dataset.state = state;
    this.status.replaceChildren(words, ...more);
  }

  tellAloud(words, state, ...more) {
    this.say(words, state, ...more);
    this.announcer.textContent = words;
  }

  async check(result) {
    if (!token) {
      this.say("Not saved: sign in to keep results and unlock achievements.", "quiet");
      return;
    }
    this.say("Saving and checking achievements…", "busy");
    try {
      result.outcomePath ??= (await saveResult(result)).outcome;
      const outcome = await followOutcome(result.outcomePath);
      this.tell(result, outcome);
    } catch (error) {
      console.info("The outcome did not arrive:", error.message);
      const what = result.outcomePath ? "Saved, but not checked yet." : "Not saved.";
      const words = `${what} ${explainFailure(error)}`;
      if (!isFinal(error)) this.offerAgain(result, words, "trouble");
      else if (this.shown === result) this.tellAloud(words, "trouble");
    }
  }

  tell(result, outcome) {
    const isShown = this.shown === result;
    if (outcome.status !== "processed") {
      const lag = outcome.lagSeconds > 5 ? ` (the check is ${Math.round(outcome.lagSeconds)} s behind)` : "";
      this.offerAgain(result,
        `Your result is saved. Checking takes longer than usual${lag}; what it unlocks will be on your profile.`, "quiet");
      return;
    }
    const unlocks = gatherUnlocks(outcome.unlocks);
    if (unlocks.length) this.announcer.textContent = describeUnlocks(unlocks);
    if (!isShown) {
      showToasts(unlocks);
      return;
    }
    this.sayProcessed(unlocks);
    this.showCards(unlocks);
    const closest = [...outcome.progress]
      .sort((one, other) => other.percent - one.percent)
      .slice(0, CLOSEST_SHOWN);
    find("#closest-list", this.root).replaceChildren(...closest.map(makeProgressLine));
    find("#closest", this.root).hidden = closest.length === 0;
  }

  // A first test can unlock a dozen: the first few, and the others when asked for.
  showCards(unlocks) {
    const items = unlocks.map((unlock, index) => {
      const item = make("li", { hidden: index >= CARDS_SHOWN }, makeUnlockCard(unlock));
      item.style.setProperty("--order", index % CARDS_SHOWN);
      return item;
    });
    const list = find("#unlocks", this.root);
    list.replaceChildren(...items);
    const others = items.slice(CARDS_SHOWN);
    if (!others.length) return;
    const more = make("button", { type: "button", class: "quiet" }, `Show ${others.length} more`);
    more.addEventListener("click", () => {
      for (const item of others) item.hidden = false;
      const next = others[0];
      next.tabIndex = -1;
      next.focus();
      more.parentElement.remove();
    });
    list.append(make("li", { class: "show-more" }, more));
  }

  sayProcessed(unlocks) {
    const link = userId && make("a", { href: `/u/${userId}` }, "See your profile");
    if (unlocks.length) {
      this.say(`${count(unlocks.length, "achievement")} unlocked. `, "unlocked", link);
    } else {
      this.say("Saved. Nothing new unlocked this time. ", "quiet", link);
    }
  }

  offerAgain(result, words, state) {
    if (this.shown !== result) return;
    const again = make("button", { type: "button", class: "quiet" }, result.outcomePath ? "Check again" : "Try again");
    again.addEventListener("click", () => this.check(result), { once: true });
    this.tellAloud(`${words} `, state, again);
  }
}
