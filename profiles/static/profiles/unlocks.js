// Shows what a test unlocked: cards under its result, or toasts once the typist has gone on.

import { find, make, makeBar, makeIcon } from "./dom.js";
import { formatCategory, formatProgress, formatRarity, count } from "./format.js";

const TOAST_SECONDS = 7;
const TOASTS_AT_ONCE = 3;

// One entry an achievement: a test can unlock several levels at once. The weightiest come first.
export function gatherUnlocks(unlocks) {
  const bySlug = new Map();
  for (const unlock of [...unlocks].sort((one, other) => one.level - other.level)) {
    const before = bySlug.get(unlock.slug);
    const points = (before?.points ?? 0) + unlock.points;
    bySlug.set(unlock.slug, { ...unlock, points, firstLevel: before?.firstLevel ?? unlock.level });
  }
  return [...bySlug.values()].sort((one, other) => other.points - one.points);
}

export function makeUnlockCard(unlock) {
  return make("article", { class: "unlock", "data-slug": unlock.slug },
    makeIcon(unlock.icon),
    make("div", { class: "unlock-words" },
      make("p", { class: "eyebrow" }, describeLevels(unlock)),
      make("h3", {}, unlock.name),
      make("p", { class: "unlock-description" }, unlock.description),
      make("p", { class: "meta" },
        [formatCategory(unlock.category), formatRarity(unlock.rarity)].filter(Boolean).join(" · "))),
    make("p", { class: "points" }, `+${unlock.points}`, make("span", {}, unlock.points === 1 ? "point" : "points")));
}

function describeLevels({ firstLevel, level }) {
  if (level === 1) return "Unlocked";
  return firstLevel < level ? `Unlocked · levels ${firstLevel}–${level}` : `Unlocked · level ${level}`;
}

export function makeProgressLine(item) {
  const words = formatProgress(item);
  return make("li", { class: "progress-line" },
    make("span", { class: "name" }, item.name, item.level > 1 && make("span", { class: "level" }, ` level ${item.level}`)),
    make("span", { class: "amount" }, words),
    makeBar(item.percent, `${item.name}: ${words}`));
}

export function describeUnlocks(unlocks) {
  const names = unlocks.map((unlock) => unlock.name).join(", ");
  const points = unlocks.reduce((sum, unlock) => sum + unlock.points, 0);
  return `${count(unlocks.length, "achievement")} unlocked: ${names}. ${count(points, "point")}.`;
}

export function showToasts(unlocks) {
  const stack = find("#toasts");
  unlocks.slice(0, TOASTS_AT_ONCE).forEach((unlock) => stack.append(makeToast(makeUnlockCard(unlock))));
  const more = unlocks.length - TOASTS_AT_ONCE;
  if (more > 0) stack.append(makeToast(make("p", { class: "unlock more" }, `and ${more} more on your profile`)));
}

// A toast leaves by itself, but never while it is pointed at.
function makeToast(content) {
  const toast = make("div", { class: "toast" }, content);
  const close = make("button", { type: "button", class: "close", "aria-label": "Dismiss", tabindex: "-1" }, "×");
  const leave = () => toast.remove();
  let timer = setTimeout(leave, TOAST_SECONDS * 1000);
  close.addEventListener("click", leave);
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", () => {
    timer = setTimeout(leave, 2500);
  });
  toast.append(close);
  return toast;
}
