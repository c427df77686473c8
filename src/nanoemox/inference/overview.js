"use strict";
// Sorts the rows by the column whose heading is pressed; pressed again, the other way round.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const compare = new Intl.Collator(undefined, { numeric: true }).compare;
    const numbers = heading.dataset.kind === "number";
    const rows = Array.from(body.rows, (row) => [key(row), row]);
    rows.sort(([a], [b]) => (up ? 1 : -1) * (numbers ? Number(a) - Number(b) : compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  });
}
