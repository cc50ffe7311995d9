// Calls the public API; a refusal becomes an ApiProblem with the words of its problem document.

import { token } from "./identity.js";

export class ApiProblem extends Error {
  constructor(status, problem) {
    const first = problem?.errors?.[0];
    super(first?.detail ?? problem?.detail ?? problem?.title ?? `The server answered ${status}.`);
    this.status = status;
    this.pointer = first?.pointer ?? "";
    this.retryAfterSeconds = null;
  }
}

// Refused for what was sent: sending the same again brings the same answer.
export const isFinal = (error) =>
  error instanceof ApiProblem && error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status);

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
  // The words of a bad request are for whoever wrote it, and a typist did not.
  if (["/wpm", "/rawWpm"].includes(error.pointer)) return "This is faster than the site believes.";
  if (error.status === 400) return "The site does not accept it.";
  return error.message;
}
