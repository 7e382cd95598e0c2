// What a reader does with the report page in a real browser: sorts and filters
// tables, saves figures, chooses runs.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Tab, withBrowser } from "../src/report/browser.ts";
import {
  collectSeries,
  loadRuns,
  makeFigures,
  writeReport,
} from "../src/report/mod.ts";
import { headlineTable } from "../src/report/tables.ts";
import { listen, openPage, type Screen } from "./fixtures/report_page.ts";
import { requirement } from "./fixtures/requirements.ts";
import {
  LARGE,
  SMALL,
  withSampleRun as withRun,
} from "./fixtures/sample_run.ts";

const { ignore } = requirement("browser");
const DESKTOP: Screen = { name: "desktop", width: 1280, theme: "light" };

/** Texts of a column of the page's first table, rows that are shown only. */
async function column(tab: Tab, index: number): Promise<string[]> {
  return await tab.evaluate(
    `[...document.querySelector("main table").tBodies[0].rows].filter((row) => row.offsetParent !== null).map((row) => { const cell = row.cells[${index}].cloneNode(true); for (const note of cell.querySelectorAll(".note")) note.remove(); return cell.textContent.trim(); })`,
  ) as string[];
}

async function press(tab: Tab, key: "Enter" | "Tab"): Promise<void> {
  const code = { Enter: 13, Tab: 9 }[key];
  for (const type of ["keyDown", "keyUp"]) {
    await tab.send("Input.dispatchKeyEvent", {
      type,
      key,
      code: key,
      windowsVirtualKeyCode: code,
      ...(key === "Enter" ? { text: "\r" } : {}),
    });
  }
}

Deno.test({
  name: "tables are sorted and filtered with the keyboard alone",
  ignore,
  async fn() {
    await withRun(LARGE, async (directory) => {
      const { reportPath } = await writeReport(directory);
      const series = collectSeries(await loadRuns([directory]));
      const table = headlineTable(series);
      const perplexity = table.columns.findIndex(({ head }) =>
        head === "perplexity"
      );
      const given = table.rows.map(({ cells }) => cells[perplexity]!);
      const sorted = [...given].sort((a, b) =>
        Number(a.value) - Number(b.value)
      ).map(({ text }) => text);
      await withBrowser(async (tab) => {
        const complaints = await listen(tab);
        await openPage(tab, reportPath, DESKTOP);
        await tab.evaluate(
          `document.querySelector("main .filter input").focus()`,
        );
        // From the filter over the scrolling box to the headings.
        await press(tab, "Tab");
        await press(tab, "Tab");
        for (let i = 0; i < perplexity; i++) await press(tab, "Tab");
        const state = async () =>
          await tab.evaluate(
            `document.activeElement.closest("th")?.ariaSort + " " + document.activeElement.textContent`,
          );
        assertEquals(await state(), "none perplexity");
        await press(tab, "Enter");
        assertEquals(await state(), "ascending perplexity");
        assertEquals(await column(tab, perplexity), sorted);
        await press(tab, "Enter");
        assertEquals(await state(), "descending perplexity");
        assertEquals(await column(tab, perplexity), sorted.toReversed());
        await press(tab, "Enter");
        assertEquals(
          await column(tab, perplexity),
          given.map(({ text }) => text),
        );
        await tab.evaluate(
          `document.querySelector("main .filter input").focus()`,
        );
        await tab.send("Input.insertText", { text: "f4 BKV" });
        const labels = series.map(({ label }) => label).filter((label) =>
          label.includes("F4") && label.includes("bkv")
        );
        assertEquals(await column(tab, 0), labels);
        assertEquals(
          await tab.evaluate(
            `document.querySelector("main .filter [role=status]").textContent`,
          ),
          `${labels.length} of ${series.length} rows`,
        );
        // What has no number stays last in both directions.
        await tab.evaluate(
          `document.querySelector("main .filter input").value = ""; document.querySelector("main .filter input").dispatchEvent(new Event("input"))`,
        );
        const delta = perplexity + 1;
        for (let i = 0; i < 2; i++) {
          await tab.evaluate(
            `document.querySelectorAll("main table th button")[${delta}].click()`,
          );
          assertEquals((await column(tab, delta)).at(-1), "–");
        }
        // Every table of two rows or more can be sorted and filtered.
        const counts = await tab.evaluate(
          `[...document.querySelectorAll("main table")].filter((table) => table.tBodies[0].rows.length > 1).map((table) => [table.querySelectorAll("th[aria-sort] > button").length, table.tHead.rows[table.tHead.rows.length - 1].cells.length, table.closest(".scroll").previousElementSibling?.classList.contains("filter")])`,
        ) as [number, number, boolean][];
        assert(counts.length >= 5, `${counts.length} tables`);
        for (const [buttons, heads, hasFilter] of counts) {
          assertEquals([buttons, hasFilter], [heads, true]);
        }
        assertEquals(complaints, []);
      });
    });
  },
});

Deno.test({
  name: "every figure is saved as SVG and PNG from visible buttons, offline",
  ignore,
  async fn() {
    await withRun(SMALL, async (directory) => {
      const { reportPath } = await writeReport(directory);
      const run = await loadRuns([directory]);
      const ids = makeFigures(collectSeries(run), run).map(({ id }) => id);
      const saved = `${directory}/saved`;
      await Deno.mkdir(saved);
      // A browser asks its reader after ten downloads of a page.
      for (const format of ["svg", "png"]) {
        await withBrowser(async (tab) => {
          const complaints = await listen(tab);
          await openPage(tab, reportPath, DESKTOP);
          await tab.send("Page.setDownloadBehavior", {
            behavior: "allow",
            downloadPath: saved,
          });
          for (const id of ids) {
            await clickOn(
              tab,
              `.save[data-figure="${id}"][data-format="${format}"]`,
            );
            const bytes = await waitFor(`${saved}/${id}.${format}`);
            if (format === "svg") {
              const text = new TextDecoder().decode(bytes);
              assertMatch(text, /^<svg [^]*<\/svg>\s*$/);
              assert(text.includes("F4 m32"), id);
            } else {
              const view = new DataView(bytes.buffer, bytes.byteOffset);
              assertEquals(view.getUint32(0), 0x89504e47, id);
              assertEquals(view.getUint32(16), 1800, `${id}: width`);
            }
          }
          assertEquals(complaints, []);
        });
      }
    });
  },
});

Deno.test({
  name:
    "runs that are left out vanish from the joint table, figures and sections",
  ignore,
  async fn() {
    await withRun({ ...SMALL, experiment: "one" }, async (first) => {
      const options = { ...SMALL, experiment: "two", runId: "d".repeat(16) };
      await withRun(options, async (second) => {
        const { reportPath } = await writeReport(first, [second], second);
        await withBrowser(async (tab) => {
          const complaints = await listen(tab);
          await openPage(tab, reportPath, DESKTOP);
          const look = async () =>
            await tab.evaluate(
              `({
                rows: [...document.querySelector("main table").tBodies[0].rows].filter((row) => row.offsetParent !== null).length,
                sections: [...document.querySelectorAll("section.run")].filter((one) => one.offsetParent !== null).map((one) => one.dataset.run),
                marks: document.querySelectorAll("#joint-perplexity-by-cache .scatterlayer .points path").length,
                wide: document.documentElement.scrollWidth,
              })`,
            );
          const toggle = async () =>
            await tab.evaluate(
              `document.querySelector('[data-select="two"]').click()`,
            );
          const both = await look();
          assertEquals(both, {
            rows: 6,
            sections: ["one", "two"],
            marks: 6,
            wide: 1280,
          });
          await toggle();
          assertEquals(await look(), {
            rows: 3,
            sections: ["one"],
            marks: 3,
            wide: 1280,
          });
          await toggle();
          assertEquals(await look(), both);
          await openPage(tab, reportPath, {
            name: "phone",
            width: 390,
            theme: "dark",
          });
          assertEquals(
            await tab.evaluate("document.documentElement.scrollWidth"),
            390,
          );
          assertEquals(complaints, []);
        });
      });
    });
  },
});

/** Clicks with the mouse: Chromium lets a page save many files only so. */
async function clickOn(tab: Tab, selector: string): Promise<void> {
  const [x, y, isVisible] = await tab.evaluate(`(() => {
    const element = document.querySelector(${JSON.stringify(selector)});
    element.scrollIntoView({ block: "center", behavior: "instant" });
    const box = element.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    return [x, y, document.elementFromPoint(x, y) === element && getComputedStyle(element).opacity === "1"];
  })()`) as [number, number, boolean];
  assertEquals(isVisible, true, `${selector} is not visible`);
  for (const type of ["mousePressed", "mouseReleased"]) {
    await tab.send("Input.dispatchMouseEvent", {
      type,
      x,
      y,
      button: "left",
      clickCount: 1,
    });
  }
}

/** The bytes of a download once they are complete. */
async function waitFor(path: string): Promise<Uint8Array> {
  for (let waited = 0; waited < 10_000; waited += 50) {
    try {
      const bytes = await Deno.readFile(path);
      if (bytes.length > 0) return bytes;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`The page did not save ${path} within 10 s`);
}
