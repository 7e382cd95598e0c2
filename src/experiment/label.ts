// Short names of variants, unique in a run: "transmla F4 m32 r88 bkv".

import type { VariantRecord } from "./record.ts";

/** How well-known options are abbreviated; `undefined` leaves the option out. */
const ABBREVIATIONS: Readonly<
  Record<string, (value: unknown) => string | undefined>
> = {
  freqFold: (value) => `F${short(value)}`,
  qkRopeHeadDim: (value) => `m${short(value)}`,
  kvLoraRank: (value) => value === undefined ? undefined : `r${short(value)}`,
  balanceKv: (value) =>
    value === false
      ? undefined
      : value === true
      ? "bkv"
      : `bkv=${short(value)}`,
};

/**
 * Names variants. The abbreviations come first, in this order; then every
 * option that differs between variants of the same method and is not at its
 * default; then, if two variants are still the same, a number.
 *
 * @param variants All variants of a run, defaults filled in.
 * @param own A name given in the file, which is kept as it is.
 * @param defaults Default options of a method.
 * @returns One label each.
 */
export function variantLabels(
  variants: readonly VariantRecord[],
  own: readonly (string | undefined)[] = [],
  defaults: (method: string) => Readonly<Record<string, unknown>> = () => ({}),
): string[] {
  const labels = variants.map((variant, i) => {
    const given = own[i];
    if (given !== undefined) return given;
    const words = [variant.method];
    for (const [key, abbreviate] of Object.entries(ABBREVIATIONS)) {
      if (!(key in variant)) continue;
      const word = abbreviate(variant[key]);
      if (word !== undefined) words.push(word);
    }
    const standard = defaults(variant.method);
    for (const key of differing(variants, variant.method)) {
      if (key in ABBREVIATIONS || variant[key] === undefined) continue;
      if (JSON.stringify(variant[key]) === JSON.stringify(standard[key])) {
        continue;
      }
      words.push(`${key}=${short(variant[key])}`);
    }
    return words.join(" ");
  });
  const seen = new Map<string, number>();
  return labels.map((label) => {
    const count = (seen.get(label) ?? 0) + 1;
    seen.set(label, count);
    return count === 1 ? label : `${label} #${count}`;
  });
}

/** Options that do not have one value in all variants of a method. */
function differing(
  variants: readonly VariantRecord[],
  method: string,
): string[] {
  const peers = variants.filter((variant) => variant.method === method);
  const keys = new Set(peers.flatMap((variant) => Object.keys(variant)));
  keys.delete("method");
  return [...keys].filter((key) =>
    new Set(peers.map((variant) => JSON.stringify(variant[key]))).size > 1
  );
}

function short(value: unknown): string {
  if (Array.isArray(value)) {
    const distinct = [...new Set(value.map(String))];
    return distinct.length <= 4
      ? `[${distinct.join("/")}]`
      : `[${distinct[0]}..${distinct.at(-1)}]`;
  }
  return typeof value === "object" && value !== null
    ? JSON.stringify(value)
    : String(value);
}

/**
 * The label of a variant calibrated with one of several seeds.
 *
 * @param group The label that its seeds share.
 * @param seed The seed.
 */
export function seededLabel(group: string, seed: number): string {
  return `${group} s${seed}`;
}

/**
 * The label of the variant that a cell or its record is of, whatever the seed.
 *
 * @param cell The cell.
 */
export function groupLabel(
  { variantGroup, variantLabel }: {
    readonly variantGroup?: string;
    readonly variantLabel: string;
  },
): string {
  return variantGroup ?? variantLabel;
}

/**
 * The variants that a baseline names: by label, or by method.
 *
 * @param baseline As `report.baseline` has it.
 * @param variants All variants.
 * @param labels Their labels.
 */
export function baselineIndices(
  baseline: string,
  variants: readonly { readonly method: string }[],
  labels: readonly string[],
): number[] {
  const byLabel = labels.flatMap((label, i) => label === baseline ? [i] : []);
  if (byLabel.length > 0) return byLabel;
  const first = variants.findIndex(({ method }) => method === baseline);
  return first < 0 ? [] : [first];
}
