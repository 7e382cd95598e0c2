// Tables of the report page: sorted by a click on a heading, filtered by what
// is typed above them.

/** A column's number for sorting, or its text; undefined for a dash. */
function sortValue(cell) {
  if (cell === undefined) return undefined;
  const { value } = cell.dataset;
  if (value !== undefined) return value === "" ? undefined : Number(value);
  const text = cell.textContent.trim();
  return text === "–" || text === "" ? undefined : text;
}

function compareValues(a, b) {
  return typeof a === "number" && typeof b === "number"
    ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
}

/** Sorts by one column; what has no value stays last either way. */
function sortRows(body, index, direction) {
  const rows = [...body.rows].map((row) => ({
    row,
    value: sortValue(row.cells[index]),
  }));
  rows.sort((a, b) => {
    if (a.value === undefined || b.value === undefined) {
      return Number(a.value === undefined) - Number(b.value === undefined);
    }
    return direction * compareValues(a.value, b.value);
  });
  body.append(...rows.map(({ row }) => row));
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const given = [...body.rows];
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  for (const [index, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending" }[
        head.getAttribute("aria-sort")
      ] ?? "none";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", next);
      if (next === "none") body.append(...given);
      else sortRows(body, index, next === "ascending" ? 1 : -1);
    });
  }
}

/** Every word that is typed must be somewhere in the row. */
function makeFilterable(table, name) {
  const rows = [...table.tBodies[0].rows];
  const bar = document.createElement("p");
  bar.className = "filter sans";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "Filter rows";
  input.setAttribute("aria-label", `Filter rows of ${name}`);
  const count = document.createElement("span");
  count.setAttribute("role", "status");
  bar.append(input, count);
  (table.closest(".scroll") ?? table).before(bar);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits = words.every((word) => text.includes(word));
      row.classList.toggle("filtered", !fits);
      if (fits) shown++;
    }
    count.textContent = words.length === 0
      ? ""
      : `${shown} of ${rows.length} rows`;
  });
}

for (const table of document.querySelectorAll("main table")) {
  const rows = table.tBodies[0]?.rows.length ?? 0;
  if (rows < 2) continue;
  const caption = table.closest(".tabled")?.querySelector(".caption b") ??
    table.closest("details")?.querySelector("summary");
  makeSortable(table);
  makeFilterable(table, caption?.textContent.trim() ?? "this table");
}
document.documentElement.dataset.tables = "true";
