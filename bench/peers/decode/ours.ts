// Our side: one provider a process, whole decode steps of the webgpu engine.
//
// JOB is the path of an OurJob as JSON; what is found comes out as lines of JSON.

import { UnavailableError } from "../../../src/base/errors.ts";
import { note, print, runVerb } from "../../../src/cli/terminal.ts";
import type { Engine, Session } from "../../../src/engine/engine.ts";
import { openEngine } from "../../../src/engine/open.ts";
import type { DecoderModel } from "../../../src/model/decoder.ts";
import type { CaseKind, DecodeCase } from "./cases.ts";
import { caseName } from "./cases.ts";
import type { DecodeEvent } from "./events.ts";
import {
  CHECK_MODEL,
  checkGreedy,
  readRun,
  type ReferenceRun,
} from "./greedy.ts";
import type { OurJob } from "./job.ts";
import { scorePass } from "./our_score.ts";
import { prefillProducts } from "./prefill.ts";
import { modelOf } from "./shapes.ts";

/** Steps before those that are timed. */
const WARM_STEPS = 8;

/** Longest repetition; slow steps make fewer. */
const REPETITION_SECONDS = 2;

const FEWEST_STEPS = 8;

function emit(event: DecodeEvent): void {
  print(JSON.stringify(event));
}

/** Opens and times; where a case fails, the next has a new session. */
class OurRun {
  readonly #job: OurJob;
  readonly #engine: Engine;
  #session: { readonly kind: CaseKind; readonly session: Session } | undefined;

  constructor(job: OurJob, engine: Engine) {
    this.#job = job;
    this.#engine = engine;
  }

  async case(asked: DecodeCase): Promise<void> {
    emit({ event: "begin", case: asked });
    note(`${this.#job.provider}: ${caseName(asked)}`);
    try {
      emit(await this.#time(await this.#open(asked.kind), asked));
    } catch (error) {
      emit({ event: "failed", case: asked, error: firstLine(error) });
      await this.close();
    }
  }

  async #open(kind: CaseKind): Promise<Session> {
    if (this.#session?.kind === kind) return this.#session.session;
    await this.close();
    const started = performance.now();
    const { model, mla } = this.#job;
    const session = await this.#engine.open(await modelOf(model, kind, mla));
    this.#session = { kind, session };
    emit({
      event: "opened",
      kind,
      seconds: (performance.now() - started) / 1000,
    });
    return session;
  }

  /** Steps around the context: as many before it as after. */
  async #time(session: Session, asked: DecodeCase): Promise<DecodeEvent> {
    const { repetitions, profile } = this.#job;
    let steps = this.#job.steps;
    let filled = await fillFor(session, asked, steps * repetitions);
    const most = Math.max(
      Math.min(FEWEST_STEPS, steps),
      Math.floor(REPETITION_SECONDS / filled.stepSeconds),
    );
    if (most < steps) {
      steps = most;
      filled = await fillFor(session, asked, steps * repetitions);
    }
    const firstContext = session.cache().tokens;
    const repetitionSeconds: number[] = [];
    for (let i = 0; i < repetitions; i++) {
      const started = performance.now();
      await session.decode(steps);
      repetitionSeconds.push((performance.now() - started) / 1000 / steps);
    }
    const { tokens: lastContext, bytes: cacheBytes } = session.cache();
    return {
      event: "ourCase",
      case: asked,
      seconds: median(repetitionSeconds),
      repetitionSeconds,
      steps,
      firstContext,
      lastContext,
      cacheBytes,
      fillSeconds: filled.fillSeconds,
      ...(profile ? await profileOf(session) : {}),
    };
  }

  async close(): Promise<void> {
    const open = this.#session;
    this.#session = undefined;
    await open?.session.close();
  }
}

/** A filled cache after steps that are not timed. */
async function fillFor(
  session: Session,
  { batch, context }: DecodeCase,
  timed: number,
): Promise<{ fillSeconds: number; stepSeconds: number }> {
  if (session.fill === undefined) {
    throw new UnavailableError("Cannot fill a cache with this engine");
  }
  const tokens = Math.max(1, context - Math.floor(timed / 2) - WARM_STEPS);
  const started = performance.now();
  // One more: for the step that is profiled.
  const reserve = WARM_STEPS + timed + 1;
  await session.fill({ batch, tokens, reserve, seed: 1 });
  const fillSeconds = (performance.now() - started) / 1000;
  // The first builds pipelines.
  await session.decode(1);
  const warm = performance.now();
  await session.decode(WARM_STEPS - 1);
  const stepSeconds = (performance.now() - warm) / 1000 / (WARM_STEPS - 1);
  return { fillSeconds, stepSeconds };
}

async function profileOf(
  session: Session,
): Promise<
  Pick<Extract<DecodeEvent, { event: "ourCase" }>, "kernels" | "profileError">
> {
  try {
    const kernels = await session.profileStep?.();
    return kernels === undefined ? {} : { kernels: [...kernels] };
  } catch (error) {
    return { profileError: firstLine(error) };
  }
}

async function checkTokens(job: OurJob): Promise<void> {
  const dtypes = job.dtype === "f16"
    ? ["f32", "f16"] as const
    : ["f32"] as const;
  for (const kind of ["original", "mla"] as const) {
    const references: ReferenceRun[] = [];
    for (const path of job.references[kind] ?? []) {
      references.push(readRun(await Deno.readTextFile(path)));
    }
    if (references.length === 0) continue;
    const model = await modelOf(CHECK_MODEL, kind, job.mla);
    for (const dtype of dtypes) {
      try {
        await checkOne(job, kind, dtype, model, references);
      } catch (error) {
        emit({ event: "checkFailed", kind, dtype, error: firstLine(error) });
      }
    }
  }
}

async function checkOne(
  { provider }: OurJob,
  kind: CaseKind,
  dtype: "f16" | "f32",
  model: DecoderModel,
  references: readonly ReferenceRun[],
): Promise<void> {
  const engine = await openEngine("webgpu", { provider, dtype });
  try {
    const session = await engine.open(model);
    for (const reference of references) {
      const check = await checkGreedy(session, reference, dtype);
      emit({ event: "check", kind, ...check });
    }
  } finally {
    await engine.close();
  }
}

async function runJob(job: OurJob): Promise<void> {
  const { provider, dtype } = job;
  await checkTokens(job);
  const engine = await openEngine("webgpu", { provider, dtype });
  try {
    const description = engine.describe();
    emit({ event: "machine", facts: { ...description } });
    if (description.adapterKind === "software" && !job.software) {
      throw new UnavailableError(
        `Cannot time ${description.adapter} as it computes on the CPU; --software does it nonetheless`,
      );
    }
    const bytesPerSecond = await engine.copyBandwidth?.();
    if (bytesPerSecond !== undefined) emit({ event: "copy", bytesPerSecond });
    const run = new OurRun(job, engine);
    for (const asked of job.cases) await run.case(asked);
    await run.close();
    if (job.score !== undefined) {
      await attempt(
        "score",
        async () => emit(await scorePass(engine, job.score!)),
      );
    }
  } finally {
    await engine.close();
  }
  if (job.prefill > 0) {
    await attempt("prefill", async () => emit(await prefillProducts(job)));
  }
}

async function attempt(
  work: "prefill" | "score",
  body: () => Promise<void>,
): Promise<void> {
  try {
    await body();
  } catch (error) {
    emit({ event: "workFailed", work, error: firstLine(error) });
  }
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error)
    .split("\n", 1)[0]!.slice(0, 300);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

async function main(args: readonly string[]): Promise<number> {
  await runJob(JSON.parse(await Deno.readTextFile(args[0]!)) as OurJob);
  return 0;
}

if (import.meta.main) await runVerb(main);
