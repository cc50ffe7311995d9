// Who is typing: the token in the page, and the user id that its `sub` claim names.

export const token = document.querySelector('meta[name="laurel-token"]')?.content ?? "";

// Read as text: ids are 64-bit and a JavaScript number would round the large ones.
export const userId = readSubject(token);

function readSubject(jwt) {
  const payload = jwt.split(".")[1];
  if (!payload) return null;
  try {
    const claims = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
    return /"sub"\s*:\s*"?(\d{1,19})\b/.exec(claims)?.[1] ?? null;
  } catch (error) {
    console.warn("The token in the page cannot be read.", error.message);
    return null;
  }
}

export function showOwnProfileLink() {
  const link = document.querySelector("[data-own-profile]");
  if (!link || !userId || !link.hidden) return;
  link.href = `/u/${userId}`;
  link.hidden = false;
}
