// The report page's behavior: figures at their column's width, in the reader's
// theme, and again for print.
/* global Plotly, layOut */

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

function draw(figure, width) {
  const element = document.getElementById(`plot-${figure.id}`);
  const { data, layout, needsKey } = layOut(
    figure,
    palettes[currentTheme()],
    width,
  );
  element.parentElement.classList.toggle("needs-key", needsKey);
  Plotly.react(element, data, layout, {
    displayModeBar: "hover",
    displaylogo: false,
    modeBarButtons: [["toImage"]],
    toImageButtonOptions: {
      format: "svg",
      filename: figure.id,
      width: 900,
      height: layout.height,
    },
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
