// Numbers as a reader sees them: a true minus sign, thousands separators, and
// as many digits as the measurement supports.

const MISSING = "–";

/**
 * Formats a number with a fixed count of decimals, "−1,234.50".
 *
 * @param value The number.
 * @param decimals Digits after the point.
 * @returns The text; an en dash where the value is absent or not finite.
 */
export function formatNumber(value: number | undefined, decimals = 0): string {
  if (value === undefined || Number.isNaN(value)) return MISSING;
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const text = Math.abs(value).toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  const isZero = !/[1-9]/.test(text);
  return value < 0 && !isZero ? `−${text}` : text;
}

/** Formats with `digits` significant digits and no exponent between 1e-4 and 1e6. */
export function formatSignificant(
  value: number | undefined,
  digits = 3,
): string {
  if (value === undefined || !Number.isFinite(value)) {
    return formatNumber(value);
  }
  if (value === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(value)));
  if (exponent < -4 || exponent >= 9) {
    return value.toExponential(digits - 1).replace("e+", "e").replace(
      /-/g,
      "−",
    );
  }
  return formatNumber(value, Math.max(0, digits - 1 - exponent));
}

/** Formats a perplexity: 2 decimals under 100, 1 under 1,000, else none. */
export function formatPerplexity(value: number | undefined): string {
  return formatNumber(value, perplexityDecimals(value));
}

/** Formats a perplexity's standard error with the decimals of the perplexity. */
export function formatPerplexityError(value: number, error: number): string {
  return formatNumber(error, perplexityDecimals(value));
}

function perplexityDecimals(value: number | undefined): number {
  if (value === undefined || value < 100) return 2;
  return value < 1000 ? 1 : 0;
}

/** Formats a signed difference, "+0.338" or "−0.002". */
export function formatDelta(value: number | undefined, decimals = 3): string {
  const text = formatNumber(value, decimals);
  return value !== undefined && value > 0 ? `+${text}` : text;
}

/**
 * Formats a share of 1 as a percentage, "50 %", "81.25 %".
 *
 * @param value The share.
 * @param decimals Digits after the point. @default up to 2, without trailing zeros
 */
export function formatPercent(
  value: number | undefined,
  decimals?: number,
): string {
  if (value === undefined) return MISSING;
  const text = formatNumber(value * 100, decimals ?? 2);
  return `${decimals === undefined ? text.replace(/\.?0+$/, "") : text}\u00a0%`;
}

/** Formats tokens a second with three significant digits, none lost over 1,000. */
export function formatRate(value: number | undefined): string {
  if (value === undefined) return MISSING;
  return value >= 100 ? formatNumber(value) : formatSignificant(value, 3);
}

/** Formats a ratio, "1.84×". */
export function formatRatio(value: number | undefined): string {
  return value === undefined
    ? MISSING
    : `${formatNumber(value, value >= 100 ? 0 : value >= 10 ? 1 : 2)}×`;
}

/** Formats bytes in binary units, "1.50 MiB". */
export function formatBytes(value: number | undefined): string {
  if (value === undefined) return MISSING;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit++;
  }
  const digits = unit === 0 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${formatNumber(scaled, digits)}\u00a0${units[unit]}`;
}

/** Formats a duration, "3.2 s", "2 min 05 s", "1 h 12 min". */
export function formatSeconds(value: number | undefined): string {
  if (value === undefined) return MISSING;
  if (value < 10) return `${formatSignificant(value, 2)}\u00a0s`;
  if (value < 60) return `${formatNumber(value)}\u00a0s`;
  const seconds = Math.round(value);
  const two = (part: number) => String(part).padStart(2, "0");
  return seconds < 3600
    ? `${Math.floor(seconds / 60)}\u00a0min ${two(seconds % 60)}\u00a0s`
    : `${Math.floor(seconds / 3600)}\u00a0h ${
      two(Math.floor(seconds / 60) % 60)
    }\u00a0min`;
}

/** Joins words as English does: "a", "a and b", "a, b and c". */
export function joinWords(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

/** Escapes text for HTML content and quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replace(
    /[&<>"']/g,
    (character) => `&#${character.charCodeAt(0)};`,
  );
}

/** Escapes text for a Markdown table cell, so that it cannot open HTML or another cell. */
export function escapeMarkdown(text: string): string {
  return text.replace(/[\r\n]+/g, " ").replace(
    /[\\`*_{}[\]<>|#&]/g,
    (character) => `\\${character}`,
  );
}
