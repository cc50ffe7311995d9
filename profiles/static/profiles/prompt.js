// Draws the words, marks each letter as it is typed, moves the caret and scrolls by whole lines.

import { find, make } from "./dom.js";

export class Prompt {
  constructor(root) {
    this.root = root;
    this.words = find("#words", root);
    this.text = find("#prompt-text", root);
    this.caret = make("span", { class: "caret" });
  }

  show(words) {
    this.nodes = [];
    this.words.replaceChildren(this.caret);
    this.words.style.transform = "";
    this.text.textContent = "";
    this.append(words);
  }

  append(words) {
    const added = words.map((word) =>
      make("span", { class: "word" }, [...word].map((letter) => make("span", {}, letter))));
    this.nodes.push(...added);
    this.words.append(...added.flatMap((node) => [node, " "]));
    this.text.append(`${words.join(" ")} `);
  }

  // Draws one word as typed so far; `isLeft` when the typist has gone on to the next.
  mark(position, word, typed, isLeft = false) {
    const node = this.nodes[position];
    [...node.children].forEach((letter, index) => {
      const isTyped = index < typed.length;
      letter.classList.toggle("right", isTyped && typed[index] === word[index]);
      letter.classList.toggle("wrong", isTyped && typed[index] !== word[index]);
    });
    // Letters beyond the word hang over its end, so that the line never moves.
    const extra = typed.slice(word.length);
    if (extra) node.dataset.extra = extra;
    else delete node.dataset.extra;
    node.classList.toggle("missed", isLeft && typed !== word);
  }

  moveCaret(position, length) {
    const node = this.nodes[Math.min(position, this.nodes.length - 1)];
    if (!node) return;
    const letter = node.children[length];
    const last = node.lastElementChild;
    const x = letter ? letter.offsetLeft : last.offsetLeft + last.offsetWidth;
    this.caret.style.transform = `translate(${node.offsetLeft + x}px, ${node.offsetTop}px)`;
    const line = this.nodes[0].offsetHeight;
    const scrolled = Math.max(0, node.offsetTop - line);
    this.words.style.transform = scrolled > line / 2 ? `translateY(${-scrolled}px)` : "";
  }
}
