// Saves a result and follows its outcome link until the achievements have been checked.

import { getJson, postJson } from "./api.js";

// Inline checks are done at once, queued ones within a second; after about 20 s we say so.
const WAITS_MS = [120, 200, 300, 450, 700, 1000, 1500, 2000, 2500, 3000, 4000, 4500];

// Sent again, a result is the same test: whoever lost the answer cannot know whether it was saved.
export function saveResult(result) {
  result.key ??= makeKey();
  return postJson("/api/v1/test-results", describe(result), {
    headers: { "Idempotency-Key": result.key },
  });
}

// Not randomUUID: a page without TLS has none.
const makeKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const describe = (result) => ({
  wpm: result.wpm,
  rawWpm: result.rawWpm,
  accuracy: result.accuracy,
  ...(result.consistency == null ? {} : { consistency: result.consistency }),
  durationSeconds: result.durationSeconds,
  characters: result.correctCharacters,
  mode: result.mode,
  length: result.length,
  language: result.language,
  // No completedAt: the server's clock is right, a typist's may not be.
  utcOffsetMinutes: -new Date().getTimezoneOffset(),
});

// Resolves to the processed outcome, or to the last pending one when patience ends.
export async function followOutcome(path, { signal } = {}) {
  let outcome = await getJson(path, { signal });
  for (const waitMs of WAITS_MS) {
    if (outcome.status === "processed") break;
    await new Promise((resolve) => setTimeout(resolve, waitMs));
    signal?.throwIfAborted();
    outcome = await getJson(path, { signal });
  }
  return outcome;
}
