// Measures one typing test. Pure: words, characters and times go in, figures come out.
//
//   wpm          correct characters / 5 per minute. Correct are the characters that match at the
//                end, and the space after a word that matches whole.
//   raw wpm      all keystrokes / 5 per minute, right or wrong.
//   accuracy     correct keystrokes / all keystrokes, in percent; erasing does not undo a mistake.
//   consistency  100 * (1 - deviation / mean) of the raw speed of each whole second, from 0 to 100.
//                Fewer than two whole seconds say nothing about it: null.

const CHARACTERS_PER_WORD = 5;
const EXTRA_LIMIT = 12;

export class Meter {
  constructor(words) {
    this.words = words;
    this.typed = [""];
    this.keystrokes = []; // {atMs, isCorrect, correctCharacters}, in time order
    this.settled = [0]; // correct characters in all words before each one reached
  }

  get position() {
    return this.typed.length - 1;
  }

  get word() {
    return this.words[this.position];
  }

  get isFinished() {
    return this.position >= this.words.length;
  }

  get startedAtMs() {
    return this.keystrokes[0]?.atMs ?? null;
  }

  // A letter, or the space that ends a word. Returns false for what is not counted at all.
  type(character, atMs) {
    if (this.isFinished) return false;
    const typed = this.typed[this.position];
    if (character === " ") {
      if (typed === "") return false;
      const isWhole = typed === this.word;
      this.settled.push(this.settled[this.position] + countMatches(this.word, typed) + isWhole);
      this.typed.push("");
      this.record(isWhole, atMs);
    } else {
      const isCorrect = this.word[typed.length] === character;
      if (typed.length < this.word.length + EXTRA_LIMIT) this.typed[this.position] += character;
      this.record(isCorrect, atMs);
    }
    return true;
  }

  record(isCorrect, atMs) {
    this.keystrokes.push({ atMs, isCorrect, correctCharacters: this.correctCharacters });
  }

  // The last word ends the test by its last right letter; there is no space to wait for.
  endsWithThisWord() {
    return this.position === this.words.length - 1 && this.typed[this.position] === this.word;
  }

  erase(characters) {
    const typed = this.typed[this.position];
    this.typed[this.position] = typed.slice(0, Math.max(0, typed.length - characters));
  }

  // A word that was left with a mistake can be gone back to; a right one is settled.
  goBack() {
    const before = this.position - 1;
    if (before < 0 || this.typed[before] === this.words[before]) return false;
    this.typed.pop();
    this.settled.pop();
    return true;
  }

  get correctCharacters() {
    if (this.isFinished) return this.settled[this.position];
    return this.settled[this.position] + countMatches(this.word, this.typed[this.position]);
  }

  measure(durationMs) {
    const minutes = Math.max(durationMs, 1) / 60000;
    const all = this.keystrokes.length;
    const correct = this.keystrokes.filter((stroke) => stroke.isCorrect).length;
    const seconds = this.splitIntoSeconds(durationMs);
    return {
      wpm: round(this.correctCharacters / CHARACTERS_PER_WORD / minutes),
      rawWpm: round(all / CHARACTERS_PER_WORD / minutes),
      accuracy: all ? round((100 * correct) / all) : 0,
      consistency: measureConsistency(seconds.filter((second) => second.isWhole)),
      durationSeconds: round(durationMs / 1000),
      characters: all,
      correctCharacters: this.correctCharacters,
      errors: all - correct,
      seconds,
    };
  }

  splitIntoSeconds(durationMs) {
    const total = Math.max(1, Math.ceil(durationMs / 1000 - 0.001));
    const seconds = Array.from({ length: total }, (_, index) => {
      const endMs = Math.min((index + 1) * 1000, durationMs);
      return { endMs, lengthMs: endMs - index * 1000, strokes: 0, errors: 0, correctCharacters: 0 };
    });
    for (const stroke of this.keystrokes) {
      const index = Math.floor((stroke.atMs - this.startedAtMs) / 1000);
      const second = seconds[Math.min(index, total - 1)];
      second.strokes += 1;
      if (!stroke.isCorrect) second.errors += 1;
      second.correctCharacters = stroke.correctCharacters;
    }
    // A few keys in the rest of a second say little: the last speed is that of a whole second.
    const last = seconds.at(-1);
    const tailMs = Math.min(1000, durationMs);
    const isInTail = (stroke) => stroke.atMs - this.startedAtMs > durationMs - tailMs;
    const tailStrokes = this.keystrokes.filter(isInTail).length;
    let correctCharacters = 0;
    return seconds.map((second) => {
      if (second.strokes) correctCharacters = second.correctCharacters;
      return {
        atSeconds: second.endMs / 1000,
        isWhole: second.lengthMs > 999,
        rawWpm: second === last && second.lengthMs < 999
          ? toWpm(tailStrokes, Math.max(tailMs, 250))
          : toWpm(second.strokes, second.lengthMs),
        wpm: toWpm(correctCharacters, second.endMs),
        errors: second.errors,
      };
    });
  }
}

function measureConsistency(seconds) {
  if (seconds.length < 2) return null;
  const speeds = seconds.map((second) => second.rawWpm);
  const mean = speeds.reduce((sum, speed) => sum + speed, 0) / speeds.length;
  if (mean === 0) return 0;
  const variance = speeds.reduce((sum, speed) => sum + (speed - mean) ** 2, 0) / speeds.length;
  return round(Math.min(100, Math.max(0, 100 * (1 - Math.sqrt(variance) / mean))));
}

function countMatches(word, typed) {
  let matches = 0;
  for (let index = 0; index < word.length && index < typed.length; index += 1) {
    if (word[index] === typed[index]) matches += 1;
  }
  return matches;
}

const toWpm = (characters, lengthMs) =>
  round(characters / CHARACTERS_PER_WORD / (Math.max(lengthMs, 1) / 60000));

const round = (value) => Math.round(value * 100) / 100;
