// Numbers, dates and names in plain words.

const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export const formatNumber = (value) => (value == null ? "–" : number.format(value));
export const formatDay = (iso) => (iso ? day.format(new Date(iso)) : "");

const isSeconds = (unit) => /^s(ec(ond)?s?)?$/.test(unit ?? "");

const chooseTimeUnit = (seconds) =>
  seconds >= 7200 ? [3600, "h"] : seconds >= 120 ? [60, "min"] : [1, "s"];

// Durations are counted in seconds and read in the largest unit that says them well.
export function formatAmount(value, unit) {
  if (value == null) return "–";
  if (isSeconds(unit)) {
    const [size, name] = chooseTimeUnit(value);
    return `${number.format(value / size)} ${name}`;
  }
  if (unit === "%") return `${number.format(value)}%`;
  const words = unit ?? "";
  return words ? `${number.format(value)} ${words}` : number.format(value);
}

// An average over fewer tests than it takes is not reached, however high it stands.
export function formatProgress({ current, target, unit, tests, testsNeeded }) {
  const words = formatShare(current ?? 0, target, unit);
  return tests < testsNeeded ? `${words}, over ${tests} of ${testsNeeded} tests` : words;
}

function formatShare(current, target, unit) {
  if (isSeconds(unit)) {
    const [size, name] = chooseTimeUnit(target);
    return `${number.format(current / size)} of ${number.format(target / size)} ${name}`;
  }
  return `${formatNumber(current)} of ${formatAmount(target, unit)}`;
}

export const formatCategory = (slug) =>
  (slug || "other").replaceAll(/[-_]/g, " ").replace(/^./, (first) => first.toUpperCase());

// Rarity is the share of typists, in percent, who hold the achievement.
export function formatRarity(percent) {
  if (percent == null) return "";
  if (percent <= 0) return "nobody yet";
  if (percent < 0.1) return "under 0.1% of typists";
  return `${number.format(percent)}% of typists`;
}

export const count = (total, one, many = `${one}s`) =>
  `${number.format(total)} ${total === 1 ? one : many}`;
