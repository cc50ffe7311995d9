// Calls the public API; a refusal becomes an ApiProblem with the words of its problem document.

import { token } from "./identity.js";

export class ApiProblem extends Error {
  constructor(status, problem) {
    const first = problem?.errors?.[0]?.detail;
    super(first ?? problem?.detail ?? problem?.title ?? `The server answered ${status}.`);
    this.status = status;
    this.retryAfterSeconds = null;
  }
}

export const getJson = (path, options = {}) => call(path, options);

export const postJson = (path, body, options = {}) =>
  call(path, {
    ...options,
    method: "POST",
    headers: { ...options.headers, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });

async function call(path, { headers = {}, ...options }) {
  const sent = { Accept: "application/json", ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  // The token says who asks; cookies of a staff session must not change the answer.
  const response = await fetch(path, { ...options, headers: sent, credentials: "omit" });
  const text = await response.text();
  const document_ = text ? parse(text) : null;
  if (!response.ok) {
    const problem = new ApiProblem(response.status, document_);
    problem.retryAfterSeconds = Number(response.headers.get("Retry-After")) || null;
    throw problem;
  }
  return document_;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // an HTML error page of a proxy: the status says enough
  }
}

export function explainFailure(error) {
  if (!(error instanceof ApiProblem)) return "The server cannot be reached.";
  if (error.status === 401) return "Your session has ended. Reload the page to sign in again.";
  if (error.status === 429) {
    const wait = error.retryAfterSeconds;
    return `Too many requests${wait ? `: try again in ${wait} seconds` : ""}.`;
  }
  return error.message;
}
