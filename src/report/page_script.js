// The report page's behavior: figures at their column's width, in the reader's
// theme, and again for print.
/* global Plotly, layOut, addKey */

const { figures, palettes } = JSON.parse(
  document.getElementById("report-data").textContent,
);
const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const themes = ["auto", "light", "dark"];
const widths = new Map();
let isPrinting = false;

function currentTheme() {
  if (isPrinting) return "light";
  const chosen = root.dataset.theme ?? "auto";
  return chosen === "auto" ? (prefersDark.matches ? "dark" : "light") : chosen;
}

/** Names of the runs that the reader has left out. */
const hiddenRuns = new Set();

/** A figure without what belongs to runs that are left out. */
function shown(figure) {
  const isShown = ({ meta }) => meta === undefined || !hiddenRuns.has(meta);
  return hiddenRuns.size === 0 ? figure : {
    ...figure,
    data: figure.data.filter(isShown),
    labels: figure.labels.filter(isShown),
  };
}

function draw(figure, width) {
  const element = document.getElementById(`plot-${figure.id}`);
  const { data, layout, needsKey } = layOut(
    shown(figure),
    palettes[currentTheme()],
    width,
  );
  element.parentElement.classList.toggle("needs-key", needsKey);
  Plotly.react(element, data, layout, {
    displayModeBar: false,
    responsive: false,
  });
  widths.set(figure.id, width);
}

function drawAll(isForced) {
  for (const figure of figures) {
    const column = document.getElementById(`plot-${figure.id}`).parentElement;
    const width = isPrinting ? 660 : Math.floor(column.clientWidth);
    if (width > 0 && (isForced || widths.get(figure.id) !== width)) {
      draw(figure, width);
    }
  }
}

const toggle = document.getElementById("theme");
toggle.hidden = false;

function showTheme(theme) {
  root.dataset.theme = theme;
  toggle.textContent = `Theme: ${theme}`;
  drawAll(true);
}

toggle.addEventListener("click", () => {
  const next =
    themes[(themes.indexOf(root.dataset.theme ?? "auto") + 1) % themes.length];
  // A page opened from a file may be refused storage; the choice then lasts for the page.
  try {
    localStorage.setItem("report-theme", next);
  } catch { /* as above */ }
  showTheme(next);
});
prefersDark.addEventListener("change", () => drawAll(true));

/** Width of a saved figure in pixels; a PNG has twice as many. */
const SAVED_WIDTH = 900;

/** Saves a figure as it stands in the reader's theme, with its key where it needs one. */
async function save(figure, format) {
  const { data, layout, needsKey } = layOut(
    shown(figure),
    palettes[currentTheme()],
    SAVED_WIDTH,
  );
  if (needsKey) addKey(data, layout);
  const { width, height } = layout;
  const link = document.createElement("a");
  link.download = `${figure.id}.${format}`;
  link.href = await Plotly.toImage({ data, layout }, {
    format,
    width,
    height,
    scale: format === "png" ? 2 : 1,
  });
  link.click();
}

for (const line of document.querySelectorAll(".saves")) line.hidden = false;
for (const button of document.querySelectorAll("button.save")) {
  const figure = figures.find(({ id }) => id === button.dataset.figure);
  button.addEventListener("click", () => save(figure, button.dataset.format));
}

for (const box of document.querySelectorAll("input[data-select]")) {
  box.addEventListener("change", () => {
    const { select } = box.dataset;
    if (box.checked) hiddenRuns.delete(select);
    else hiddenRuns.add(select);
    for (const element of document.querySelectorAll("[data-run]")) {
      if (element.dataset.run === select) element.hidden = !box.checked;
    }
    drawAll(true);
  });
}

let pending = 0;
new ResizeObserver(() => {
  cancelAnimationFrame(pending);
  pending = requestAnimationFrame(() => drawAll(false));
}).observe(document.querySelector("main"));

const opened = [];
addEventListener("beforeprint", () => {
  isPrinting = true;
  for (
    const details of document.querySelectorAll("details.print:not([open])")
  ) {
    details.open = true;
    opened.push(details);
  }
  drawAll(true);
});
addEventListener("afterprint", () => {
  isPrinting = false;
  for (const details of opened.splice(0)) details.open = false;
  drawAll(true);
});

let stored = null;
try {
  stored = localStorage.getItem("report-theme");
} catch { /* no storage: auto */ }
showTheme(themes.includes(stored) ? stored : "auto");
root.dataset.drawn = "true";
