// Draws one achievement of the gallery.

import { make, makeBar, makeIcon } from "./dom.js";
import { formatDay, formatProgress, formatRarity } from "./format.js";
import { isSecret, isUnfinished } from "./gallery.js";

const PIPS_SHOWN = 12;

export function makeTile(tile, onOpen) {
  const isMystery = tile.state === "hidden";
  const name = isSecret(tile.name) ? "Hidden achievement" : tile.name;
  // The mystery of a masked tile says no more than the server did.
  const opener = isMystery
    ? make("span", { class: "tile-name" }, name)
    : make("button", { type: "button", class: "tile-name", "aria-haspopup": "dialog" }, name);
  const node = make("li", { class: `tile ${tile.state}`, "data-slug": isMystery ? null : tile.slug, "data-state": tile.state },
    makeIcon(tile.icon),
    make("div", { class: "tile-words" },
      make("h3", {}, opener),
      make("p", { class: "tile-description" }, describe(tile)),
      makePips(tile),
      makeNext(tile),
      makeFacts(tile)));
  if (!isMystery) opener.addEventListener("click", () => onOpen(tile));
  return node;
}

export function describe(tile) {
  if (!isSecret(tile.description)) return tile.description;
  return tile.state === "hidden"
    ? "Keep typing. It shows itself when it is unlocked."
    : "How it is unlocked is a secret.";
}

// One pip a level; what has many levels says it in a number.
export function makePips(tile) {
  const total = tile.levels.length;
  if (total < 2 && tile.level < 2) return null;
  const words = total > 1 ? `Level ${tile.level} of ${total}` : `Level ${tile.level}`;
  if (total < 2 || total > PIPS_SHOWN) return make("p", { class: "levels" }, words);
  return make("p", { class: "levels pips", title: words },
    tile.levels.map((_, index) => make("span", { class: index < tile.level ? "pip on" : "pip", "aria-hidden": "true" })),
    make("span", { class: "sr-only" }, words));
}

function makeNext(tile) {
  if (tile.state === "hidden" || !tile.next) return null;
  if (tile.held && !isUnfinished(tile)) return null;
  const { current, target, percent } = tile.next;
  if (target == null || (target === 1 && !current)) return null;
  const words = formatProgress(tile.next);
  return make("div", { class: "next" },
    makeBar(percent, `${tile.name}: ${words}`),
    make("p", { class: "amount" }, words));
}

function makeFacts(tile) {
  if (!tile.held) return null;
  const rarity = formatRarity(tile.rarity);
  const unlockedAt = tile.held.unlockedAt;
  return make("p", { class: "facts" },
    unlockedAt && make("time", { datetime: unlockedAt }, formatDay(unlockedAt)),
    unlockedAt && rarity && " · ",
    rarity && make("span", {}, rarity));
}
