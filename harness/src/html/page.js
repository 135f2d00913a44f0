
"use strict";
// A cell's number: "12.3 [11.9, 12.8]", "1,234", "−5%", "1.57x", "59.67 †"; NaN where it begins with none.
function number(text) {
  const plain = text.replace(/\u2212/g, "-").replace(/(\d),(?=\d{3})/g, "$1");
  const found = plain.match(/^\s*[~<>\u2264\u2265]?\s*([+-]?\d+(?:\.\d+)?)/);
  return found ? Number(found[1]) : NaN;
}

function isNumeric(cells) {
  const told = cells.filter((cell) => /[\p{L}\p{N}]/u.test(cell.replace(/[\u2020\u2021]\d*/g, "")));
  const numbers = told.filter((cell) => !Number.isNaN(number(cell)));
  return told.length > 0 && numbers.length * 2 > told.length;
}

function sortable(table) {
  const rows = Array.from(table.tBodies[0].rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const cell = (row, column) => (row.cells[column] ? row.cells[column].textContent.trim() : "");
  heads.forEach((head, column) => {
    const numeric = isNumeric(rows.map((row) => cell(row, column)));
    if (numeric && column > 0) {
      head.classList.add("number");
      rows.forEach((row) => row.cells[column] && row.cells[column].classList.add("number"));
    }
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === "none" ? "ascending" : now === "ascending" ? "descending" : "none";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const compare = (a, b) => {
        if (!numeric) return sign * cell(a, column).localeCompare(cell(b, column), "en");
        const [x, y] = [number(cell(a, column)), number(cell(b, column))];
        // What has no number stays below.
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return sign * (x - y);
      };
      const sorted = next === "none" ? rows : [...rows].sort(compare);
      table.tBodies[0].append(...sorted);
    });
  });
}

// A mark of a chart tells its value to a mouse, a finger and the keyboard: its title moves into a box of the page's own.
function values() {
  const box = document.createElement("div");
  box.id = "value";
  box.hidden = true;
  box.setAttribute("role", "tooltip");
  document.body.append(box);
  const show = (mark) => {
    const at = mark.getBoundingClientRect();
    box.textContent = mark.dataset.value;
    box.hidden = false;
    const left = Math.min(at.left + at.width / 2, document.documentElement.clientWidth - box.offsetWidth - 8);
    box.style.left = Math.max(8, left) + "px";
    box.style.top = Math.max(8, at.top - box.offsetHeight - 6) + "px";
  };
  const hide = () => { box.hidden = true; };
  for (const title of document.querySelectorAll(".chart svg g > title")) {
    const mark = title.parentNode;
    mark.dataset.value = title.textContent;
    mark.setAttribute("aria-label", title.textContent);
    mark.setAttribute("tabindex", "0");
    mark.setAttribute("role", "img");
    title.remove();
    for (const event of ["pointerenter", "focus", "click"]) mark.addEventListener(event, () => show(mark));
    for (const event of ["pointerleave", "blur"]) mark.addEventListener(event, hide);
  }
  addEventListener("scroll", hide, { passive: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}

document.querySelectorAll(".table table").forEach(sortable);
values();
// Beside the text there is room for the list of sections.
if (matchMedia("(min-width: 80rem)").matches) document.querySelector("nav details").open = true;
