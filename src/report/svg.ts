// Static figures: plotly's own SVG, drawn in a headless browser by the same
// code that draws the page.

import plotly from "plotly.js-basic-dist-min/plotly-basic.min.js" with {
  type: "text",
};
import runtime from "./figure_runtime.js" with { type: "text" };
import { type Tab, withBrowser } from "./browser.ts";
import type { Figure } from "./figure.ts";
import { drawable } from "./page.ts";
import { PALETTES } from "./palette.ts";

/** Width of exported figures in pixels. */
const WIDTH = 900;

/**
 * Draws figures as SVG on the light page's background.
 *
 * The result depends on the figures and on the browser's fonts alone: ids that
 * plotly draws at random come from a seeded generator.
 *
 * @param figures The figures.
 * @returns SVG text by figure id.
 * @throws {UnavailableError} If no browser is installed.
 */
export async function drawFigures(
  figures: readonly Figure[],
): Promise<Map<string, string>> {
  if (figures.length === 0) return new Map();
  return await withBrowser(async (tab) => {
    await tab.evaluate(`${plotly};0`);
    await tab.evaluate(
      `${runtime};globalThis.layOut = layOut; globalThis.addKey = addKey;0`,
    );
    const drawn = new Map<string, string>();
    for (const figure of figures) {
      drawn.set(figure.id, await drawFigure(tab, figure));
    }
    return drawn;
  });
}

async function drawFigure(tab: Tab, figure: Figure): Promise<string> {
  const url = await tab.evaluate(`(async () => {
    let state = 1;
    Math.random = () => (state = state * 48271 % 2147483647) / 2147483647;
    const { data, layout, needsKey } = layOut(${
    JSON.stringify(drawable(figure))
  }, ${JSON.stringify(PALETTES.light)}, ${WIDTH});
    if (needsKey) addKey(data, layout);
    return await Plotly.toImage({ data, layout }, { format: "svg", width: layout.width, height: layout.height });
  })()`);
  const [, text] = /^data:image\/svg\+xml,(.*)$/s.exec(String(url)) ?? [];
  if (text === undefined) {
    throw new Error(`Cannot draw ${figure.id}: the browser gave no SVG`);
  }
  return decodeURIComponent(text) + "\n";
}
