/** Figures and long tables are compressed: else a page has many megabytes. */
function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

/**
 * Put a figure in the place of its image, so that its marks say what they are of. Only once the
 * pointer is on it: a page of many drawn figures opens slowly.
 */
function drawInPlace(image, svg) {
  const drawing = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const place = document.createElement("div");
  place.className = "drawing";
  place.style.cssText = `${image.style.cssText}; width: var(--width)`;
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", image.alt);
  drawing.style.cssText = "display: block; width: 100%; height: auto";
  // The ids and styles of a figure are its own.
  place.attachShadow({ mode: "open" }).append(drawing);
  image.replaceWith(place);
  widths.observe(place);
}

for (const image of document.querySelectorAll("img[data-svgz]")) {
  unpack(image.dataset.svgz)
    .text()
    .then((svg) => {
      image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
      image.removeAttribute("data-svgz");
      image.closest("figure").querySelector("a[download]").href = image.src;
      if (svg.includes("<title>")) image.onpointerenter = () => drawInPlace(image, svg);
    });
}

/** Tables with more rows than this can be filtered. */
const LONG = 10;
/** Rows that are shown at once: browsers are slow with many. */
const MOST = 1000;
const alphabet = new Intl.Collator("en", { numeric: true });

/** The number that a cell begins with, such as the lower end of an interval; NaN for none. */
const number = (cell) => parseFloat(cell.replace("−", "-").replace("[", ""));

/** Whether a row has every word; one in quotation marks is a whole cell, or an entry of a list. */
function matches(cells, wanted) {
  const text = `, ${cells.join(", ")}, `.toLowerCase();
  const words = wanted.toLowerCase().match(/"[^"]*"|\S+/g) ?? [];
  return words.every((word) => text.includes(word.replace(/^"(.*)"$/, ", $1, ")));
}

/** Whether the rows of a table stand in groups, each below a row of its own. */
const isGrouped = (table) => table.matches(".claims");

/** The rows of a table, or its groups of rows, as lists of their text. */
function read(table) {
  const words = (cell) => cell.textContent.replace(/\s+/g, " ").trim();
  const parts = isGrouped(table) ? table.tBodies : table.tBodies[0].rows;
  return [...parts].map((element) => ({
    element,
    cells: [...element.querySelectorAll("th, td")].map(words),
  }));
}

/**
 * Let a table be sorted by its headers, and filtered if it is long; returns the field for this.
 * A row that has no element yet gets one when it is shown.
 */
function enliven(table, rows = read(table)) {
  const parent = isGrouped(table) ? table : table.tBodies[0];
  const headers = isGrouped(table) ? [] : [...table.tHead.rows[0].cells];
  const isNumeric = headers.map((header) => header.classList.contains("n"));
  const field = Object.assign(document.createElement("input"), { type: "search" });
  const count = document.createElement("output");
  field.oninput = show;

  function build(row) {
    row.element = document.createElement("tr");
    row.cells.forEach((text, i) => {
      const cell = row.element.insertCell();
      cell.textContent = text;
      cell.className = isNumeric[i] ? "n" : "";
    });
    return row.element;
  }

  function show() {
    const found = rows.filter((row) => matches(row.cells, field.value));
    rows.forEach((row) => row.element?.remove());
    parent.append(...found.slice(0, MOST).map((row) => row.element ?? build(row)));
    const cut = found.length > MOST ? `, of which ${MOST} are shown` : "";
    count.textContent = field.value || cut ? ` ${found.length} of ${rows.length}${cut}` : "";
  }

  headers.forEach((header, i) => {
    const button = document.createElement("button");
    button.append(...header.childNodes);
    header.append(button);
    button.onclick = () => {
      const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      rows.sort(({ cells: { [i]: a } }, { cells: { [i]: b } }) => {
        if (!isNumeric[i]) return sign * alphabet.compare(a, b);
        const [x, y] = [number(a), number(b)];
        // Missing values are last either way.
        return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);
      });
      show();
    };
  });
  if (rows.length > LONG) {
    const [line, label] = ["p", "label"].map((name) => document.createElement(name));
    line.className = "filter";
    label.append("Filter ", field);
    line.append(label, count);
    (table.closest(".scroll") ?? table).before(line);
  }
  return field;
}

/** Fill a table with the rows that are compressed in it. */
async function fill(table) {
  const { columns, data } = await unpack(table.dataset.rowsz).json();
  const head = table.createTHead().insertRow();
  columns.forEach((name, i) => {
    const header = document.createElement("th");
    header.textContent = name;
    header.className = data.every(({ [i]: v }) => v === null || typeof v === "number") ? "n" : "";
    head.append(header);
  });
  table.createTBody();
  const rows = data.map((row) => ({ cells: row.map((value) => String(value ?? "–")) }));
  const field = enliven(table, rows);
  field.oninput();
  return field;
}

for (const table of document.querySelectorAll("table:not([data-rowsz])")) enliven(table);

/** What is wider than the page is reached, and scrolled, by the keyboard. */
const widths = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    const area = target.closest(".scroll");
    if (!area) continue; // an image that gave its place to a drawing
    if (area.scrollWidth > area.clientWidth) area.tabIndex = 0;
    else area.removeAttribute("tabindex");
  }
});
for (const area of document.querySelectorAll(".scroll, .scroll > *")) widths.observe(area);

/** The fields of filled tables, by the ids of what they are in, which is closed at first. */
const fields = {};
for (const table of document.querySelectorAll("table[data-rowsz]")) {
  const details = table.closest("details");
  details.ontoggle = () => (fields[details.id] ??= fill(table));
}
for (const link of document.querySelectorAll("a[data-filter]")) {
  link.onclick = async () => {
    const details = document.getElementById(link.hash.slice(1));
    details.open = true;
    const field = await details.ontoggle();
    field.value = link.dataset.filter;
    field.oninput();
  };
}
