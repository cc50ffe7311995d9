// Numbers, dates and names in plain words.

const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

export const formatNumber = (value) => (value == null ? "–" : number.format(value));
export const formatDay = (iso) => (iso ? day.format(new Date(iso)) : "");

// Durations are counted in seconds and read in the largest unit that says them well.
export function formatAmount(value, unit) {
  if (value == null) return "–";
  const words = unit ?? "";
  if (/^s(ec(ond)?s?)?$/.test(words)) {
    if (value >= 7200) return `${number.format(value / 3600)} h`;
    if (value >= 180) return `${number.format(value / 60)} min`;
    return `${number.format(value)} s`;
  }
  if (words === "%") return `${number.format(value)}%`;
  return words ? `${number.format(value)} ${words}` : number.format(value);
}

export function formatProgress(current, target, unit) {
  if (/^s(ec(ond)?s?)?$/.test(unit ?? "")) {
    return `${formatAmount(current, unit)} of ${formatAmount(target, unit)}`;
  }
  return `${formatNumber(current ?? 0)} of ${formatAmount(target, unit)}`;
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
