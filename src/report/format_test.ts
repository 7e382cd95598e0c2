import { assertEquals } from "@std/assert";
import {
  escapeHtml,
  escapeMarkdown,
  formatBytes,
  formatDelta,
  formatNumber,
  formatPerplexity,
  formatRatio,
  formatSeconds,
  formatSignificant,
} from "./format.ts";

Deno.test("formatNumber() groups thousands, signs with a minus and never prints −0", () => {
  assertEquals(formatNumber(1234567.891, 2), "1,234,567.89");
  assertEquals(formatNumber(-1234.5, 1), "−1,234.5");
  assertEquals(formatNumber(-0.0004, 3), "0.000");
  assertEquals(formatNumber(undefined), "–");
  assertEquals(formatNumber(Infinity), "∞");
});

Deno.test("formatters give the digits that a measurement supports", () => {
  assertEquals(formatPerplexity(18.0249), "18.02");
  assertEquals(formatPerplexity(182.449), "182.4");
  assertEquals(formatPerplexity(81234.4), "81,234");
  assertEquals(formatDelta(0.3381), "+0.338");
  assertEquals(formatDelta(-0.0021), "−0.002");
  assertEquals(formatRatio(1.838), "1.84×");
  assertEquals(formatRatio(10.64), "10.6×");
  assertEquals(formatBytes(1536), "1.50\u00a0KiB");
  assertEquals(formatBytes(94 * 2 ** 20), "94.0\u00a0MiB");
  assertEquals(formatSeconds(3.21), "3.2\u00a0s");
  assertEquals(formatSeconds(59.99 + 65), "2\u00a0min 05\u00a0s");
  assertEquals(formatSeconds(7325), "2\u00a0h 02\u00a0min");
  assertEquals(formatSignificant(0.012345), "0.0123");
  assertEquals(formatSignificant(2.5e-7), "2.50e−7");
});

Deno.test("escapeHtml() and escapeMarkdown() leave nothing that opens markup", () => {
  assertEquals(
    escapeHtml(`<a b="c">&'`),
    "&#60;a b=&#34;c&#34;&#62;&#38;&#39;",
  );
  assertEquals(escapeMarkdown("a|b\n<c>"), "a\\|b \\<c\\>");
});
