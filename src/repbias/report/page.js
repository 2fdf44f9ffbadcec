/** Figures and long tables are compressed: else a page has many megabytes. */
function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

for (const image of document.querySelectorAll("img[data-svgz]")) {
  unpack(image.dataset.svgz)
    .arrayBuffer()
    .then((svg) => {
      image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
      image.removeAttribute("data-svgz");
    });
}

/** Tables with more rows than this can be filtered. */
const LONG = 10;
const alphabet = new Intl.Collator("en", { numeric: true });

/** The number that a cell begins with, such as the lower end of an interval; NaN for none. */
const number = (cell) => parseFloat(cell.replace("−", "-").replace("[", ""));

/** Whether a row has every word; one in quotation marks is a whole cell, or an entry of a list. */
function matches(cells, wanted) {
  const text = `, ${cells.join(", ")}, `.toLowerCase();
  const words = wanted.toLowerCase().match(/"[^"]*"|\S+/g) ?? [];
  return words.every((word) => text.includes(word.replace(/^"(.*)"$/, ", $1, ")));
}

/** Let a table be sorted by its headers, and filtered if it is long; returns the field for this. */
function enliven(table) {
  const parts = [...(table.tBodies.length > 1 ? table.tBodies : table.tBodies[0].rows)];
  const parent = parts[0]?.parentNode;
  let rows = parts.map((element) => ({
    element,
    cells: [...element.querySelectorAll("th, td")].map((cell) => cell.textContent.replace(/\s+/g, " ").trim()),
  }));
  const field = Object.assign(document.createElement("input"), { type: "search" });
  const count = document.createElement("output");

  function show() {
    const shown = rows.filter((row) => matches(row.cells, field.value));
    rows.forEach((row) => row.element.remove());
    parent.append(...shown.map((row) => row.element));
    count.textContent = field.value && ` ${shown.length} of ${rows.length}`;
  }

  const headers = parent === table ? [] : [...table.tHead.rows[0].cells];
  headers.forEach((header, i) => {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    header.append(button);
    button.onclick = () => {
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const numeric = header.classList.contains("n");
      rows.sort(({ cells: { [i]: a } }, { cells: { [i]: b } }) => {
        if (!numeric) return sign * alphabet.compare(a, b);
        const [x, y] = [number(a), number(b)];
        // Missing values are last either way.
        return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);
      });
      show();
    };
  });
  if (rows.length > LONG) {
    const label = document.createElement("label");
    label.className = "filter";
    label.append("Filter ", field, count);
    field.oninput = show;
    (table.closest(".scroll") ?? table).before(label);
  }
  return field;
}

for (const table of document.querySelectorAll("table")) enliven(table);
