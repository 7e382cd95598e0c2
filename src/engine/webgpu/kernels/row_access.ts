// How kernels reach rows of numbers: four at a time where offset and stride allow
// it, one at a time otherwise.

import type { Binding, View } from "./kernel.ts";

/**
 * Whether every row of a view begins at a multiple of `elements`.
 *
 * @param view The view.
 * @param elements A power of two.
 */
export function isAligned(view: View, elements: number): boolean {
  return view.offset % elements === 0 && view.stride % elements === 0;
}

/**
 * Binds a view's buffer as numbers or as vectors of four.
 *
 * @param view The view; its offset and stride stay with the parameters.
 * @param vector Whether as vectors.
 * @param access How the kernel uses it.
 */
export function rowBinding(
  view: View,
  vector: boolean,
  access: Binding["access"],
): Binding {
  const { buffer, element } = view;
  return {
    buffer,
    type: vector ? `array<vec4<${element}>>` : `array<${element}>`,
    access,
  };
}
