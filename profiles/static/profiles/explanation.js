// The dialog of one achievement: what it is, and to its owner why it is unlocked or why not yet.

import { explainFailure, getJson } from "./api.js";
import { find, make, makeBar, makeIcon } from "./dom.js";
import { count, formatAmount, formatCategory, formatDay, formatNumber, formatProgress, formatRarity } from "./format.js";
import { describe, makePips } from "./tile.js";

export class DetailDialog {
  constructor(dialog, { userId, isOwner }) {
    this.dialog = dialog;
    this.body = find("#detail-body", dialog);
    this.userId = userId;
    this.isOwner = isOwner;
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close(); // the backdrop
    });
  }

  async open(tile) {
    this.tile = tile;
    this.why = make("section", { class: "why", "aria-live": "polite" });
    this.body.replaceChildren(...[
      make("div", { class: `detail-head ${tile.state}` },
        makeIcon(tile.icon),
        make("div", {},
          make("p", { class: "eyebrow" }, formatCategory(tile.category)),
          make("h2", { id: "detail-name" }, tile.name),
          makeWorth(tile))),
      make("p", { class: "detail-description" }, describe(tile)),
      makePips(tile),
      makeLevelTable(tile),
      this.why,
    ].filter(Boolean));
    this.dialog.showModal();
    if (this.isOwner) await this.explain(tile);
  }

  async explain(tile) {
    const { why } = this;
    why.append(make("p", { class: "wait" }, "Looking up why…"));
    try {
      const explanation = await getJson(
        `/api/v1/users/${this.userId}/achievements/${encodeURIComponent(tile.slug)}/explanation`);
      if (this.tile === tile) why.replaceChildren(...describeExplanation(explanation));
    } catch (error) {
      console.info("No explanation:", error.message);
      why.replaceChildren(make("p", { class: "trouble" }, explainFailure(error)));
    }
  }
}

// Of a single level, its points and rarity in a line; of several, a table.
function makeWorth(tile) {
  if (tile.levels.length !== 1) return null;
  const [{ points, rarity }] = tile.levels;
  const worth = [points != null && count(points, "point"), formatRarity(rarity)].filter(Boolean);
  return make("p", { class: "worth" }, worth.join(" · "));
}

function makeLevelTable(tile) {
  if (tile.levels.length < 2) return null;
  const rows = tile.levels.map((level) => {
    const isHeld = level.level <= tile.level;
    return make("tr", { class: isHeld ? "held" : null },
      make("td", {}, isHeld ? "✓" : "", make("span", { class: "sr-only" }, isHeld ? "held" : "not held")),
      make("td", {}, level.sentence ?? `Level ${level.level}`),
      make("td", { class: "number" }, formatRarity(level.rarity)),
      make("td", { class: "number" }, level.points == null ? "" : count(level.points, "point")));
  });
  return make("table", { class: "level-table" },
    make("caption", { class: "sr-only" }, "Levels"), make("tbody", {}, rows));
}

function describeExplanation(explanation) {
  // Of what is held in part, the server explains the level that is still ahead.
  const title = explanation.met ? "Why it is unlocked"
    : explanation.unlockedAt ? `Why not level ${explanation.level} yet` : "Why not yet";
  const evidence = explanation.evidence && describeEvidence(explanation.evidence);
  const [only, ...others] = explanation.conditions ?? [];
  const isRepeated = others.length === 0 && only?.sentence === explanation.sentence;
  return [
    make("h3", {}, title),
    explanation.sentence && !isRepeated && make("p", { class: "sentence" }, explanation.sentence),
    explanation.conditions?.length > 0 && makeConditions(explanation.conditions),
    explanation.unlockedAt && make("p", { class: "facts" }, `Unlocked ${formatDay(explanation.unlockedAt)}`, evidence && ` · ${evidence}`),
    explanation.note && make("p", { class: "note" }, explanation.note),
  ].filter(Boolean);
}

function makeConditions(conditions) {
  return make("ul", { class: "conditions" }, conditions.map((condition) => {
    // "1 of 1" says nothing that the mark does not.
    const hasCount = condition.target > 1 && typeof condition.current === "number";
    const words = hasCount ? formatProgress(condition) : "";
    return make("li", { class: condition.met ? "met" : "unmet" },
      make("span", { class: "mark", "aria-hidden": "true" }, condition.met ? "✓" : "○"),
      make("div", {},
        make("p", {}, condition.sentence, make("span", { class: "sr-only" }, condition.met ? " (met)" : " (not met)")),
        hasCount && makeBar(condition.percent, words),
        hasCount && make("p", { class: "amount" }, condition.met
          ? `${formatAmount(condition.current, condition.unit)}; ${formatAmount(condition.target, condition.unit)} needed`
          : words),
        condition.children?.length > 0 && makeConditions(condition.children)));
  }));
}

function describeEvidence(evidence) {
  const parts = [];
  if (evidence.wpm != null) parts.push(`${formatNumber(evidence.wpm)} wpm`);
  if (evidence.accuracy != null) parts.push(`${formatNumber(evidence.accuracy)}% accuracy`);
  if (evidence.testResultId != null) parts.push(`by test ${evidence.testResultId}`);
  return parts.join(", ");
}
