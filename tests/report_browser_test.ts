// The report page in a real browser: every figure drawn, nothing logged, no
// sideways scroll on a phone, both themes. Screenshots are kept in a temporary
// folder, whose path is printed, for a human to look at.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Tab, withBrowser } from "../src/report/browser.ts";
import {
  collectSeries,
  drawFigures,
  loadRuns,
  makeFigures,
  writeReport,
} from "../src/report/mod.ts";
import { PALETTES } from "../src/report/palette.ts";
import { listen, openPage } from "./fixtures/report_page.ts";
import { requirement } from "./fixtures/requirements.ts";
import {
  LARGE,
  type SampleOptions,
  SEEDED,
  SMALL,
  withSampleRun,
  writeSampleRun,
} from "./fixtures/sample_run.ts";

const SCREENS = [
  { name: "desktop-light", width: 1280, theme: "light" },
  { name: "desktop-dark", width: 1280, theme: "dark" },
  { name: "phone-light", width: 390, theme: "light" },
  { name: "phone-dark", width: 390, theme: "dark" },
] as const;

const SAMPLES: readonly [string, SampleOptions][] = [
  ["2 variants", SMALL],
  ["20 variants", LARGE],
  ["seeds and divergences", SEEDED],
];

for (const [name, options] of SAMPLES) {
  Deno.test({
    name: `report.html with ${name} draws every figure on every screen`,
    ignore: requirement("browser").ignore,
    async fn() {
      const directory = await Deno.makeTempDir({ prefix: "transmla-page-" });
      await writeSampleRun(directory, options);
      const { reportPath } = await writeReport(directory);
      const run = await loadRuns([directory]);
      const ids = makeFigures(collectSeries(run), run).map(({ id }) => id);
      await withBrowser(async (tab) => {
        const complaints = await listen(tab);
        for (const screen of SCREENS) {
          await openPage(tab, reportPath, screen);
          const seen = await look(tab);
          const where = `${name}, ${screen.name}`;
          assertEquals(Object.keys(seen.traces), ids, where);
          for (const [id, traces] of Object.entries(seen.traces)) {
            assert(traces > 0, `${where}: ${id} has no trace`);
          }
          assert(
            seen.scrollWidth <= screen.width,
            `${where}: the page is ${seen.scrollWidth} wide`,
          );
          assertEquals(seen.page, rgb(PALETTES[screen.theme]["page"]!), where);
          assertEquals(seen.overflow, [], where);
          await keepScreenshot(tab, `${directory}/${screen.name}.png`, screen);
        }
        await tab.evaluate("document.getElementById('theme').click()");
        assertEquals((await look(tab)).page, rgb(PALETTES.light["page"]!));
        await tab.evaluate("document.getElementById('theme').click()");
        assertEquals((await look(tab)).page, rgb(PALETTES.dark["page"]!));
        assertEquals(complaints, []);
      });
      console.log(`screenshots: ${directory}`);
    },
  });
}

Deno.test({
  name: "drawFigures() gives the same SVG twice, without scripts or references",
  ignore: requirement("browser").ignore,
  async fn() {
    await withSampleRun(LARGE, async (directory) => {
      const run = await loadRuns([directory]);
      const figures = makeFigures(collectSeries(run), run);
      const first = await drawFigures(figures);
      assertEquals([...first.keys()], figures.map(({ id }) => id));
      assertEquals([...await drawFigures(figures)], [...first]);
      for (const [id, svg] of first) {
        assertMatch(svg, /^<svg /);
        assertEquals(/<script|(?:href|src)="http/.test(svg), false);
        // Without the page around it a figure still names what it shows.
        assert(/F4 ?m32|m32 r160/.test(svg), id);
      }
    });
  },
});

interface Seen {
  /** Drawn traces by figure. */
  readonly traces: Record<string, number>;
  readonly scrollWidth: number;
  /** Background color. */
  readonly page: string;
  /** Figure labels that leave their drawing. */
  readonly overflow: string[];
}

async function look(tab: Tab): Promise<Seen> {
  return await tab.evaluate(`(() => {
    const traces = {};
    const overflow = [];
    for (const figure of document.querySelectorAll("figure")) {
      const svg = figure.querySelector("svg.main-svg");
      traces[figure.id] = svg?.querySelectorAll(".scatterlayer .trace").length ?? 0;
      const frame = svg?.getBoundingClientRect();
      for (const text of figure.querySelectorAll(".main-svg text")) {
        const box = text.getBoundingClientRect();
        if (box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)) {
          overflow.push(figure.id + ": " + text.textContent);
        }
      }
    }
    return {
      traces,
      overflow,
      scrollWidth: document.documentElement.scrollWidth,
      page: getComputedStyle(document.documentElement).backgroundColor,
    };
  })()`) as Seen;
}

async function keepScreenshot(
  tab: Tab,
  path: string,
  screen: (typeof SCREENS)[number],
): Promise<void> {
  const height = Number(
    await tab.evaluate("document.documentElement.scrollHeight"),
  );
  const { data } = await tab.send("Page.captureScreenshot", {
    captureBeyondViewport: true,
    clip: { x: 0, y: 0, width: screen.width, height, scale: 1 },
  });
  await Deno.writeFile(
    path,
    Uint8Array.from(atob(String(data)), (byte) => byte.charCodeAt(0)),
  );
}

function rgb(hex: string): string {
  const parts = [1, 3, 5].map((start) =>
    parseInt(hex.slice(start, start + 2), 16)
  );
  return `rgb(${parts.join(", ")})`;
}
