"use strict";
// Sorting: one pass per click, missing values last whichever way the order runs.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const original = [...body.rows];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const key = (row) => row.cells[column].dataset.key;
      const value = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const [u, v] = [value(x), value(y)];
        if (Number.isNaN(u) || Number.isNaN(v)) return sign * x.localeCompare(y, undefined, { numeric: true });
        return sign * (u < v ? -1 : u > v ? 1 : 0);
      };
      body.append(...(next === "none" ? original : [...original].sort(compare)));
    });
  });
}
