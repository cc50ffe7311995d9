// The edit form of an achievement: the sentence beside the criteria, rows of levels, the icon.
"use strict";

(() => {
  const DELAY_MS = 350;

  function watchCriteria(box) {
    const form = box.closest("form");
    const summary = box.querySelector("[data-laurel-summary]");
    const problems = box.querySelector("[data-laurel-problems]");
    let timer = 0;
    let running = null;

    function addLine(text, className) {
      const line = document.createElement("li");
      line.textContent = text;
      if (className) line.className = className;
      problems.append(line);
    }

    function show({ summary: sentence, levels, problems: found }) {
      summary.textContent = sentence || (found.length ? "Not a rule yet:" : "");
      box.classList.toggle("laurel-criteria-bad", found.length > 0);
      problems.replaceChildren();
      levels.forEach((text) => addLine(text, "laurel-level-line"));
      found.forEach(({ place, detail }) => addLine(place ? `${place}: ${detail}` : detail));
      problems.hidden = problems.childElementCount === 0;
    }

    async function preview() {
      if (running) running.abort();
      running = new AbortController();
      try {
        const response = await fetch(box.dataset.previewUrl, {
          method: "POST",
          body: new URLSearchParams(new FormData(form)),
          headers: { Accept: "application/json" },
          signal: running.signal,
        });
        if (!response.ok) throw new Error(`status ${response.status}`);
        show(await response.json());
      } catch (error) {
        if (error.name === "AbortError") return;
        summary.textContent = "The sentence cannot be shown now; saving still checks the rule.";
        problems.hidden = true;
      }
    }

    form.addEventListener("input", (event) => {
      const name = event.target.name || "";
      if (name !== "criteria" && !name.startsWith("levels-") && !name.startsWith("active_")) return;
      clearTimeout(timer);
      timer = setTimeout(preview, DELAY_MS);
    });
    preview();
  }

  function watchLevels(box) {
    const { name, max } = box.dataset;
    const rows = () => [...box.querySelectorAll("[data-laurel-level]")];

    function number() {
      rows().forEach((row, index) => {
        row.querySelector(".laurel-level-number").textContent = index + 1;
        row.querySelectorAll("input").forEach((input) => {
          const field = input.name.split("-").pop();
          input.name = `${name}-${index}-${field}`;
          input.setAttribute("aria-label", `${field} of level ${index + 1}`);
        });
      });
    }

    function addRow() {
      const row = rows().at(-1).cloneNode(true);
      row.querySelectorAll("input").forEach((input) => { input.value = ""; });
      box.insertBefore(row, adder);
      row.querySelector("[data-laurel-remove]")?.remove();
      addRemover(row);
      number();
      return row;
    }

    function addRemover(row) {
      const remover = document.createElement("button");
      remover.type = "button";
      remover.className = "laurel-small-button";
      remover.dataset.laurelRemove = "";
      remover.setAttribute("aria-label", "Remove this level");
      remover.textContent = "Remove";
      remover.addEventListener("click", () => {
        if (rows().length > 1) row.remove();
        else row.querySelectorAll("input").forEach((input) => { input.value = ""; });
        number();
        box.dispatchEvent(new Event("input", { bubbles: true }));
        rows()[0].querySelector("input").dispatchEvent(new Event("input", { bubbles: true }));
      });
      row.append(remover);
    }

    const adder = document.createElement("button");
    adder.type = "button";
    adder.className = "laurel-small-button";
    adder.textContent = "Add a level";
    adder.addEventListener("click", () => {
      if (rows().length < Number(max)) addRow().querySelector("input").focus();
    });
    // With JavaScript there is a button for more rows, so the spare ones are in the way.
    rows().forEach((row) => {
      const isEmpty = [...row.querySelectorAll("input")].every((input) => !input.value);
      if (isEmpty && rows().length > 1) row.remove();
      else addRemover(row);
    });
    box.append(adder);
    number();
  }

  function watchIcon(box) {
    const image = box.querySelector("img");
    const select = box.querySelector("select");
    select.addEventListener("change", () => {
      const address = select.selectedOptions[0]?.dataset.src || "";
      image.hidden = !address;
      if (address) image.src = address;
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-laurel-levels]").forEach(watchLevels);
    document.querySelectorAll("[data-laurel-criteria]").forEach(watchCriteria);
    document.querySelectorAll("[data-laurel-icon]").forEach(watchIcon);
  });
})();
