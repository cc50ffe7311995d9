// Runs one typing test: reads the input field, feeds the meter, draws the prompt, keeps the clock.

import { find } from "./dom.js";
import { Meter } from "./meter.js";
import { Prompt } from "./prompt.js";

const WORDS_AHEAD = 60;
// The field always starts with this mark, so that erasing in an empty word is still an input event
// on every keyboard, also on phones, which send no key codes.
const MARK = "\u200b";
const REFUSED = new Set(["insertFromPaste", "insertFromDrop", "insertReplacementText", "insertFromYank",
  "historyUndo", "historyRedo", "insertLineBreak"]);
const PENDING_ACCENT = /[´`^¨~]$/;
const MOVING = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

export class Run {
  constructor(root, { onFinish, onStart }) {
    this.root = root;
    this.onFinish = onFinish;
    this.onStart = onStart;
    this.prompt = new Prompt(find("#prompt", root));
    this.field = find("#typed", root);
    this.clock = find("#clock", root);
    this.liveSpeed = find("#live-speed", root);
    this.resume = find("#resume", root);
    this.listen();
  }

  // Shows a fresh test; nothing is measured before its first letter.
  prepare({ mode, length, language, vocabulary }) {
    this.stopClock();
    this.kind = { mode, length, language };
    this.vocabulary = vocabulary;
    this.state = "ready";
    this.meter = new Meter([]);
    this.prompt.show([]);
    this.extend(mode === "words" ? length : WORDS_AHEAD);
    this.clearField();
    this.prompt.moveCaret(0, 0);
    this.root.dataset.state = "ready";
    this.clock.textContent = mode === "words" ? `0/${length}` : String(length);
    this.liveSpeed.textContent = "";
  }

  extend(count) {
    const added = pickWords(this.vocabulary, count, this.meter.words.at(-1));
    this.meter.words.push(...added);
    this.prompt.append(added);
  }

  listen() {
    const { field } = this;
    field.addEventListener("beforeinput", (event) => {
      if (REFUSED.has(event.inputType) || this.state === "over") event.preventDefault();
    });
    field.addEventListener("input", (event) => {
      this.read(event.timeStamp, { isComposing: event.isComposing });
    });
    field.addEventListener("compositionend", (event) => this.read(event.timeStamp));
    field.addEventListener("keydown", (event) => {
      if (MOVING.has(event.key)) event.preventDefault();
    });
    field.addEventListener("select", () => this.keepCaretLast());
    field.addEventListener("focus", () => {
      this.resume.hidden = true;
      this.keepCaretLast();
    });
    field.addEventListener("blur", () => {
      this.resume.hidden = this.state !== "running";
    });
    find("#prompt", this.root).addEventListener("pointerdown", (event) => {
      event.preventDefault();
      this.focus();
    });
    addEventListener("resize", () => this.redrawCaret());
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }

  keepCaretLast() {
    const end = this.field.value.length;
    if (this.field.selectionStart !== end) this.field.setSelectionRange(end, end);
  }

  clearField(text = "") {
    this.field.value = MARK + text;
    this.keepCaretLast();
  }

  // Takes the difference between the field and the word so far as erased and typed letters.
  read(atMs, { isComposing = false } = {}) {
    const { meter, field } = this;
    if (this.state === "over" || this.isTimeUp(atMs)) return;
    const isMarkErased = !field.value.startsWith(MARK);
    let now = field.value.replaceAll(MARK, "").normalize("NFC");
    // Phones compose whole words, which are read letter by letter; an accent that still waits for
    // its letter is no keystroke yet.
    if (isComposing) now = now.replace(PENDING_ACCENT, "");
    const before = meter.typed[meter.position];
    if (isMarkErased && now === "" && before === "") {
      if (meter.goBack()) this.redrawWord();
      this.clearField(meter.typed[meter.position]);
      this.redrawCaret();
      return;
    }
    let same = 0;
    while (same < before.length && before[same] === now[same]) same += 1;
    if (before.length > same) meter.erase(before.length - same);
    for (const character of now.slice(same)) {
      if (this.take(character, atMs)) break;
    }
    if (this.state === "over") return;
    if (!isComposing && meter.typed[meter.position] !== field.value.slice(1)) {
      this.clearField(meter.typed[meter.position]);
    }
    this.redrawWord();
    this.redrawCaret();
  }

  // One letter; returns whether the test is over by it.
  take(character, atMs) {
    const { meter } = this;
    const position = meter.position;
    if (!meter.type(character, atMs)) return false;
    if (this.state === "ready") this.start(atMs);
    if (meter.position > position) {
      this.prompt.mark(position, meter.words[position], meter.typed[position], true);
      if (this.kind.mode === "words") {
        this.clock.textContent = `${meter.position}/${this.kind.length}`;
      } else if (meter.words.length - meter.position < WORDS_AHEAD / 2) {
        this.extend(WORDS_AHEAD);
      }
    }
    if (this.kind.mode !== "words") return false;
    if (!meter.isFinished && !meter.endsWithThisWord()) return false;
    this.finish(atMs - meter.startedAtMs);
    return true;
  }

  start(atMs) {
    this.state = "running";
    this.root.dataset.state = "running";
    this.onStart();
    this.ticker = setInterval(() => this.tick(performance.now()), 200);
    if (this.kind.mode === "time") {
      const leftMs = this.kind.length * 1000 - (performance.now() - atMs);
      this.alarm = setTimeout(() => this.finish(this.kind.length * 1000), leftMs);
    }
  }

  tick(nowMs) {
    const elapsedMs = nowMs - this.meter.startedAtMs;
    if (this.kind.mode === "time") {
      const left = Math.max(0, Math.ceil(this.kind.length - elapsedMs / 1000));
      this.clock.textContent = String(left);
    }
    if (elapsedMs > 1500) {
      this.liveSpeed.textContent = `${Math.round(this.meter.measure(elapsedMs).wpm)} wpm`;
    }
  }

  // A busy page can deliver the alarm late; a letter typed after the time does not count.
  isTimeUp(atMs) {
    if (this.kind.mode !== "time" || this.state !== "running") return false;
    return atMs - this.meter.startedAtMs >= this.kind.length * 1000;
  }

  finish(durationMs) {
    if (this.state !== "running") return;
    this.state = "over";
    this.root.dataset.state = "over";
    this.stopClock();
    this.onFinish({ ...this.kind, ...this.meter.measure(durationMs) });
  }

  stopClock() {
    clearInterval(this.ticker);
    clearTimeout(this.alarm);
  }

  redrawWord() {
    const { meter } = this;
    if (meter.isFinished) return;
    this.prompt.mark(meter.position, meter.word, meter.typed[meter.position]);
  }

  redrawCaret() {
    const { meter } = this;
    if (!meter || meter.isFinished) return;
    const length = Math.min(meter.typed[meter.position].length, meter.word.length);
    this.prompt.moveCaret(meter.position, length);
  }
}

function pickWords(vocabulary, count, before) {
  const picked = [];
  while (picked.length < count) {
    const word = vocabulary[Math.floor(Math.random() * vocabulary.length)];
    if (word !== (picked.at(-1) ?? before)) picked.push(word);
  }
  return picked;
}
