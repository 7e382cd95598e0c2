// Opens what an experiment names: model, tokenizer, texts. The parent does so
// to know their hashes (cell ids), the worker to use them.

import { InputError, UnavailableError } from "../base/errors.ts";
import { openCheckpoint, type OpenOptions } from "../checkpoint/open.ts";
import type { ModelConfig } from "../model/config.ts";
import type { DecoderModel } from "../model/decoder.ts";
import { loadModel } from "../model/load.ts";
import { syntheticModel } from "../model/synthetic.ts";
import { openText } from "../text/open_text.ts";
import { assertDisjoint } from "../text/splits.ts";
import type { TextSource } from "../text/text_source.ts";
import { openTokenizer } from "../tokenizer/tokenizer_json.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Experiment } from "./schema.ts";

/** A model that could not be had, and why. */
export interface ModelNotHad {
  readonly name: string;
  /** "it cannot be downloaded to FOLDER: ..." */
  readonly reason: string;
}

/** A model, ready to use. */
export interface OpenedModel {
  /** The name that was had, of those that the experiment lists. */
  readonly name: string;
  /** Those listed before it. */
  readonly notHad: readonly ModelNotHad[];
  readonly model: DecoderModel;
  /** Of the weight files; of the seed and shape of a synthetic model. */
  readonly weightsSha256: string;
  /** Absent for a synthetic model. */
  readonly tokenizer?: Tokenizer;
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly sha256: string;
    readonly modifiedMs?: number;
  }[];
  close(): void;
}

/** Identities of all inputs: what decides a cell's id. */
export interface Inputs {
  /** As the experiment lists them; the first that could be had is `modelName`. */
  readonly requestedModels: readonly string[];
  /** Those listed before it, which could not be had. */
  readonly modelsNotHad: readonly ModelNotHad[];
  readonly modelName: string;
  /** Of the weights alone: a cell's id has `config` beside it. */
  readonly modelSha256: string;
  readonly config: ModelConfig;
  readonly tokenizerSha256?: string;
  readonly files: OpenedModel["files"];
  /** By name. */
  readonly textSha256: Readonly<Record<string, string>>;
  /** Characters of each text, for estimates. */
  readonly textCharacters: Readonly<Record<string, number>>;
}

/** The text name of seeded random token ids. */
export const SYNTHETIC_TEXT = "synthetic";

/**
 * Opens the first model of a list that can be had.
 *
 * @param names Alias, hub id, path or synthetic:NAME, in order of preference.
 * @param say Is told of each model that cannot be had, and why.
 * @param options Progress of downloads; files whose hashes are known.
 * @throws {InputError} If a name is wrong, or none can be had.
 */
export async function openModel(
  names: readonly string[],
  say: (message: string) => void = () => {},
  options: OpenOptions = {},
): Promise<OpenedModel> {
  const notHad: ModelNotHad[] = [];
  for (const [i, name] of names.entries()) {
    if (name.startsWith("synthetic:")) {
      const model = syntheticModel(name);
      return {
        name,
        notHad,
        model,
        weightsSha256: model.sha256,
        files: [],
        close() {},
      };
    }
    try {
      const checkpoint = await openCheckpoint(name, options);
      try {
        const model = ofFile(name, () => loadModel(checkpoint));
        const tokenizer = checkpoint.tokenizerJson === undefined
          ? undefined
          : ofFile(
            `the tokenizer of ${name}`,
            () =>
              openTokenizer(checkpoint.tokenizerJson!, model.config.vocabSize),
          );
        return {
          name,
          notHad,
          model,
          weightsSha256: checkpoint.sha256,
          ...(tokenizer === undefined ? {} : { tokenizer }),
          files: checkpoint.files,
          close: () => checkpoint.tensors.close(),
        };
      } catch (error) {
        checkpoint.tensors.close();
        throw error;
      }
    } catch (error) {
      const last = i === names.length - 1;
      if (last && error instanceof UnavailableError) {
        throw new InputError(error.message);
      }
      if (
        last ||
        !(error instanceof UnavailableError || error instanceof InputError)
      ) throw error;
      const prefix = `Cannot open model ${name} as `;
      const reason = error.message.startsWith(prefix)
        ? error.message.slice(prefix.length)
        : error.message;
      notHad.push({ name, reason });
      say(`model ${name} cannot be had: ${reason}; trying the next`);
    }
  }
  throw new InputError("Cannot open a model as the list is empty");
}

/** Says which model's file an error is about, where the error does not. */
function ofFile<T>(what: string, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (error instanceof Error && !error.message.includes(what)) {
      error.message = `${what}: ${error.message}`;
    }
    throw error;
  }
}

/** Texts that an experiment reads, without the synthetic one. */
export function textsOf(experiment: Experiment): string[] {
  const names = [
    experiment.calibration?.text,
    experiment.measure.perplexity?.text,
    experiment.measure.divergence?.text,
  ];
  return [...new Set(names)].filter((name): name is string =>
    name !== undefined && name !== SYNTHETIC_TEXT
  );
}

/**
 * Identifies everything that an experiment reads, and refuses one whose
 * calibration and test texts overlap or that needs a tokenizer its model lacks.
 *
 * @param experiment The experiment, `model` still a list.
 * @param say Is told what was chosen.
 * @param options Progress of downloads.
 * @throws {InputError} If an input is wrong or cannot be had.
 */
export async function identifyInputs(
  experiment: Experiment,
  say: (message: string) => void = () => {},
  options: OpenOptions = {},
): Promise<Inputs> {
  const names = typeof experiment.model === "string"
    ? [experiment.model]
    : experiment.model;
  const opened = await openModel(names, say, options);
  try {
    if (names.length > 1) say(`model: ${opened.name}`);
    const texts = new Map<string, TextSource>();
    for (const name of textsOf(experiment)) {
      try {
        texts.set(name, await openText(name));
      } catch (error) {
        if (!(error instanceof UnavailableError)) throw error;
        throw new InputError(error.message);
      }
    }
    if (texts.size > 0 && opened.tokenizer === undefined) {
      throw new InputError(
        `Cannot read ${
          [...texts.keys()].join(", ")
        } as model ${opened.name} has no tokenizer: only text "${SYNTHETIC_TEXT}" can be used with it`,
      );
    }
    const calibration = texts.get(experiment.calibration?.text ?? "");
    const { perplexity, divergence } = experiment.measure;
    for (const name of new Set([perplexity?.text, divergence?.text])) {
      const test = texts.get(name ?? "");
      if (calibration !== undefined && test !== undefined) {
        assertDisjoint(calibration, test);
      }
    }
    return {
      requestedModels: names,
      modelsNotHad: opened.notHad,
      modelName: opened.name,
      modelSha256: opened.weightsSha256,
      config: opened.model.config,
      ...(opened.tokenizer === undefined
        ? {}
        : { tokenizerSha256: opened.tokenizer.sha256 }),
      files: opened.files,
      textSha256: Object.fromEntries(
        [...texts].map(([name, text]) => [name, text.sha256]),
      ),
      textCharacters: Object.fromEntries(
        [...texts].map(([name, text]) => [name, text.text.length]),
      ),
    };
  } finally {
    opened.close();
  }
}

/**
 * Seeded uniform token ids: prompts for timing, and the calibration "text" of
 * synthetic models.
 *
 * @param length How many.
 * @param vocabSize Exclusive upper bound.
 * @param seed Any integer.
 */
export function randomTokens(
  length: number,
  vocabSize: number,
  seed: number,
): Int32Array {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x85ebca6b) | 1;
  return Int32Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor((state >>> 0) / 2 ** 32 * vocabSize);
  });
}
