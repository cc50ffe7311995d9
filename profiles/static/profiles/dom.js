// Builds DOM nodes; text always goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const find = (selector, root = document) => root.querySelector(selector);

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

// An icon is a medal of its own colours; what is masked or has none gets a question mark.
export function makeIcon(url, extraClass = "") {
  const icon = make("span", { class: `icon ${extraClass}`.trim(), "aria-hidden": "true" });
  if (url && url.startsWith("/") && !url.startsWith("//")) {
    icon.append(make("img", { src: url, alt: "", width: 56, height: 56 }));
  } else {
    icon.classList.add("mystery");
    icon.append("?");
  }
  return icon;
}

// By percent and not by `current` of `target`: one fast test is not yet an average over ten.
export function makeBar(percent, label) {
  return make("progress", { class: "bar", max: 100, value: percent ?? 0, "aria-label": label });
}
