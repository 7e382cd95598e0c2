// Made-up results of both sides, for tests.

import type { Runs } from "./comparison.ts";
import { VARIANTS } from "./job.ts";
import type { Usage } from "./measured_process.ts";

/** Two official variants in two lanes, two windows; every figure is round. */
export function sampleRuns(): Runs {
  return {
    officialScore: {
      usage: usage(3e9),
      result: {
        ...process(3e9),
        rates: {
          tokens: 1024,
          plainTokensPerSecond: 100,
          hookedTokensPerSecond: 95,
        },
        scores: { original: scores(2.5, 3) },
      },
    },
    oursScore: { usage: usage(1e9), result: { scores: scores(2.5, 2) } },
    officialConvert: [lane(0, 1), lane(1, 2)],
    oursTwoPasses: oursConvert(1, 1, 2e9),
    oursOnePass: oursConvert(0, 1, 1e9),
    oursCheck: {
      usage: usage(1e9),
      result: { scores: { "partial-rope": [3, 3], transmla: [3.5, 3.5] } },
    },
  };
}

function usage(peakRssBytes: number): Usage {
  return { wallSeconds: 10, cpuSeconds: 20, peakRssBytes };
}

function took(seconds: number) {
  return { seconds, cpuSeconds: 2 * seconds };
}

function scores(nll: number, seconds: number) {
  return { windowNll: [nll, nll], windowSeconds: [seconds, seconds] };
}

function process(peakRssBytes: number) {
  return {
    peakRssBytes,
    open: { ...took(1), peakRssBytes: 1e9 },
    total: took(10),
    versions: {
      python: "3",
      torch: "2",
      transformers: "5",
      attention: "sdpa",
      threads: 2,
    },
  };
}

function lane(number: number, step: number): Runs["officialConvert"][number] {
  return {
    usage: usage(4e9 * step),
    result: {
      ...process(4e9 * step),
      variants: [{
        variant: { ...VARIANTS[number]! },
        stages: {
          calibrateOriginal: took(3 + step),
          partialRope: took(1),
          calibratePartial: took(2 + step),
          loraQkv: took(2 * step),
        },
      }],
      scores: number === 0
        ? { "partial-rope": scores(3, 3), transmla: scores(3.5, 3) }
        : {},
    },
  };
}

function oursConvert(
  calibration: number,
  conversion: number,
  peakRssBytes: number,
): Runs["oursTwoPasses"] {
  return {
    usage: usage(peakRssBytes),
    result: {
      variants: VARIANTS.map((variant) => ({
        variant: { ...variant },
        conversionSeconds: conversion,
        calibrationSeconds: calibration,
        calibrationRuns: calibration,
      })),
    },
  };
}
