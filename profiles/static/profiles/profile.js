// The profile page: reads the public documents of one typist and shows the gallery.

import { ApiProblem, explainFailure, getJson } from "./api.js";
import { find, make } from "./dom.js";
import { DetailDialog } from "./explanation.js";
import { composeGallery, groupByCategory, matches, sortTiles } from "./gallery.js";
import { formatCategory, formatNumber } from "./format.js";
import { showOwnProfileLink, userId as viewerId } from "./identity.js";
import { makeTile } from "./tile.js";

const root = find("#profile");
const userId = root.dataset.userId;
const isOwner = viewerId === userId;
const filters = find("#filters");
const dialog = new DetailDialog(find("#detail"), { userId, isOwner });
let tiles = [];

async function load() {
  try {
    const [catalogue, held, progress] = await Promise.all([
      getJson("/api/v1/achievements"),
      getJson(`/api/v1/users/${userId}/achievements`),
      getJson(`/api/v1/users/${userId}/progress`),
    ]);
    tiles = composeGallery({ catalogue, held, progress });
    showSummary(held);
    offerCategories();
    drawGallery();
    reveal();
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 404) return showMissing();
    console.error("The profile cannot be shown:", error);
    find("#gallery").replaceChildren();
    find("#trouble").textContent = `The profile cannot be shown now. ${explainFailure(error)}`;
    find("#trouble").hidden = false;
  } finally {
    root.setAttribute("aria-busy", "false");
    document.documentElement.dataset.ready = "true";
  }
}

function reveal() {
  find("#missing").hidden = true;
  root.hidden = false;
}

function showMissing() {
  document.title = "Not found · Laurel";
  root.hidden = true;
  find("#missing").hidden = false;
}

function showSummary({ points, unlockedCount, totalCount }) {
  find("#points").textContent = formatNumber(points);
  find("#unlocked-count").textContent = formatNumber(unlockedCount);
  find("#total-count").textContent = formatNumber(totalCount);
  const overall = find("#overall");
  overall.max = Math.max(totalCount, 1);
  overall.value = unlockedCount;
  find("#newcomer").hidden = unlockedCount > 0;
  find("#newcomer-text").textContent = isOwner
    ? "The first ones come quickly: some with the very first finished test."
    : "This typist has just started.";
  for (const state of ["all", "unlocked", "started", "hidden"]) {
    const total = tiles.filter((tile) => matches(tile, state)).length;
    find(`[data-count="${state}"]`).textContent = String(total);
  }
}

function offerCategories() {
  const names = [...new Set(tiles.map((tile) => tile.category))];
  find("select", filters).append(...names.map((name) => make("option", { value: name }, formatCategory(name))));
}

function drawGallery() {
  const state = filters.elements.state.value;
  const category = filters.elements.category.value;
  const chosen = tiles.filter((tile) => matches(tile, state) && (!category || tile.category === category));
  const groups = [...groupByCategory(chosen)].map(([name, members]) => {
    const all = tiles.filter((tile) => tile.category === name);
    const unlocked = all.filter((tile) => tile.held).length;
    return make("section", { class: "category" },
      make("h2", {}, formatCategory(name), make("span", { class: "tally" }, `${unlocked} of ${all.length}`)),
      make("ul", { class: "tiles" }, sortTiles(members).map((tile) => makeTile(tile, (one) => dialog.open(one)))));
  });
  find("#gallery").replaceChildren(...groups);
  find("#nothing-matches").hidden = chosen.length > 0;
  return chosen.length;
}

filters.addEventListener("change", () => {
  find("#announcer").textContent = `${drawGallery()} achievements shown`;
});
filters.addEventListener("submit", (event) => event.preventDefault());

showOwnProfileLink();
// A private profile came with its 404 page; only its owner's token is worth asking with.
if (!root.hidden || isOwner) await load();
else document.documentElement.dataset.ready = "true";
