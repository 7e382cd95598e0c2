// One number of x·Wᵀ: row i of x by row j of this part of W.
fn store(i: u32, j: u32, sum: f32) {
  let at = params.outOffset + i * params.outStride + j;
  var value = sum;
#if BIAS
  value += bias[params.biasOffset + j];
#end
#if ACCUMULATE
  value += f32(output[at]);
#end
  output[at] = $OUT(value);
}
