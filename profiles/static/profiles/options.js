// The kind of test: mode, length and language, kept in this browser between visits.

const KEY = "laurel.options";

export class Options {
  constructor(form, onChange) {
    this.form = form;
    this.restore();
    this.reflect();
    // Who chooses by mouse types next; who chooses by keys may still be moving through the choices,
    // and on a phone the keyboard would cover them.
    let isByMouse = false;
    form.addEventListener("pointerdown", (event) => {
      isByMouse = event.pointerType !== "touch";
    });
    form.addEventListener("keydown", () => {
      isByMouse = false;
    });
    form.addEventListener("change", () => {
      this.reflect();
      this.keep();
      onChange({ isByMouse });
    });
  }

  get mode() {
    return this.form.elements.mode.value;
  }

  get length() {
    return Number(this.form.elements[this.mode === "time" ? "seconds" : "words"].value);
  }

  get language() {
    return this.form.elements.language.value;
  }

  reflect() {
    for (const fieldset of this.form.querySelectorAll("[data-for]")) {
      fieldset.hidden = fieldset.dataset.for !== this.mode;
    }
  }

  keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(
        ["mode", "seconds", "words", "language"].map((name) => [name, this.form.elements[name].value]),
      )));
    } catch (error) {
      console.info("Storage is blocked; the options last for this page.", error.name);
    }
  }

  restore() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
    } catch (error) {
      console.info("No options could be read.", error.name);
    }
    for (const [name, value] of Object.entries(kept)) {
      const field = this.form.elements[name];
      const offered = field instanceof HTMLSelectElement ? [...field.options] : [...(field ?? [])];
      if (offered.some((option) => option.value === value)) field.value = value;
    }
  }
}
