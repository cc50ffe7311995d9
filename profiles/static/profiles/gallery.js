// Joins the public documents (catalogue, held, progress) into the tiles of one typist. Pure.
//
// A tile: {slug, name, description, category, icon, state, levels, level, held, next}, where state
// is "unlocked" (all levels held), "started" (a level ahead, held or moving), "untouched" or
// "hidden" (the server masks the name; a definition may also mask only its icon or its text).
// `held` and `next` are the entries of the two user documents.

export function composeGallery({ catalogue, held, progress }) {
  const heldBySlug = new Map(held.achievements.map((entry) => [entry.slug, entry]));
  const nextBySlug = new Map(progress.achievements.map((entry) => [entry.slug, entry]));
  const tiles = catalogue.achievements.map((definition) =>
    composeTile(definition, heldBySlug.get(definition.slug), nextBySlug.get(definition.slug)));

  // What is held but not in the catalogue by its name was hidden there: it takes the place of
  // one masked tile. A retired one has no masked tile to take, and is shown all the same.
  const known = new Set(catalogue.achievements.map((definition) => definition.slug));
  for (const entry of held.achievements) {
    if (known.has(entry.slug)) continue;
    const isPlace = (tile) => tile.state === "hidden" && tile.category === entry.category;
    let masked = tiles.findIndex((tile) => isPlace(tile) && tile.icon === entry.icon);
    if (masked < 0) masked = tiles.findIndex(isPlace);
    const definition = { ...entry, levels: [] };
    tiles.splice(masked < 0 ? tiles.length : masked, masked < 0 ? 0 : 1, composeTile(definition, entry, null));
  }
  return tiles;
}

function composeTile(definition, held, next) {
  const levels = definition.levels ?? [];
  const shown = held ? { ...definition, ...held } : definition;
  return {
    slug: definition.slug,
    name: shown.name,
    description: shown.description,
    category: shown.category || "other",
    icon: shown.icon,
    rarity: shown.rarity ?? levels[0]?.rarity ?? null,
    levels,
    level: held?.level ?? 0,
    state: decideState(definition, held, next),
    held: held ?? null,
    next: next ?? null,
  };
}

function decideState(definition, held, next) {
  if (!held && isMasked(definition)) return "hidden";
  if (held) return "unlocked";
  return next && next.current > 0 ? "started" : "untouched";
}

const isMasked = (definition) => definition.hidden && isSecret(definition.name);

// What the server keeps to itself arrives as "???" or as nothing.
export const isSecret = (text) => !text || text === "???";

// The filter "in progress" also holds what is unlocked with a further level ahead.
export function matches(tile, state) {
  if (state === "all") return true;
  if (state === "started") {
    return tile.state === "started" || (tile.state === "unlocked" && isUnfinished(tile));
  }
  return tile.state === state;
}

export const isUnfinished = (tile) => tile.next != null && tile.next.level > tile.level;

const ORDER = { unlocked: 0, started: 1, untouched: 2, hidden: 3 };

export function sortTiles(tiles) {
  const nearness = (tile) => tile.next?.percent ?? 0;
  return [...tiles].sort((one, other) =>
    ORDER[one.state] - ORDER[other.state] ||
    (one.state === "unlocked"
      ? (other.held.unlockedAt ?? "").localeCompare(one.held.unlockedAt ?? "")
      : nearness(other) - nearness(one)));
}

export function groupByCategory(tiles) {
  const groups = new Map();
  for (const tile of tiles) {
    if (!groups.has(tile.category)) groups.set(tile.category, []);
    groups.get(tile.category).push(tile);
  }
  return groups;
}
