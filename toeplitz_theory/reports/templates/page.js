"use strict";
// Sorting: one pass per click, missing values last whichever way the order runs.
const number = (text) => (text === "inf" ? Infinity : text === "-inf" ? -Infinity : Number(text));
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
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const [u, v] = [number(x), number(y)];
        if (Number.isNaN(u) || Number.isNaN(v)) return sign * x.localeCompare(y, undefined, { numeric: true });
        return sign * (u < v ? -1 : u > v ? 1 : 0);
      };
      body.append(...(next === "none" ? original : [...original].sort(compare)));
    });
  });
}
// The table of kernels: a filter for it and the panels below, and what is left of it as a file.
const kernels = document.getElementById("kernels");
if (kernels) {
  const names = [...kernels.tHead.rows[0].cells].map((head) => head.dataset.name);
  const rows = [...kernels.tBodies[0].rows];
  const words = rows.map((row) => row.textContent.toLowerCase());
  const field = document.getElementById("filter");
  const tests = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b,
  };
  const keeps = (term, row, text) => {
    const [, name, test, value] = /^([a-z0-9_]+)(<=|>=|<|>|=)(.+)$/.exec(term) || [];
    const column = names.indexOf(name);
    if (column < 0) return text.includes(term);
    const key = row.cells[column].dataset.key;
    if (key === "") return false;
    return Number.isNaN(number(value)) ? test === "=" && key.toLowerCase() === value : tests[test](number(key), number(value));
  };
  const filter = () => {
    const terms = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    rows.forEach((row, place) => {
      const kept = terms.every((term) => keeps(term, row, words[place]));
      left += kept;
      row.hidden = !kept;
      const panel = document.getElementById(row.dataset.panel);
      if (panel) panel.hidden = !kept;
    });
    document.getElementById("left").textContent = `${left} of ${rows.length} kernels`;
  };
  field.addEventListener("input", filter);
  filter(); // a browser may have kept the field's text
  const cell = (text) => {
    const safe = /^[=+@\t\r]|^-(?![\d.]|inf$)/.test(text) ? `'${text}` : text; // a spreadsheet would run it
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  document.getElementById("csv").addEventListener("click", () => {
    const shown = [...kernels.tBodies[0].rows].filter((row) => !row.hidden);
    const lines = [names, ...shown.map((row) => [...row.cells].map((entry) => entry.dataset.key))];
    const text = lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "kernels.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
