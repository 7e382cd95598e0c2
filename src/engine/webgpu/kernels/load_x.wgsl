// Numbers k .. k + 3 of row i of x, as f32; zero past the row's end, where other
// numbers lie, or none. Rows past the last are the last: what comes of them is dropped.
fn xNumbers(i: u32, k: u32) -> vec4<f32> {
  let at = params.xOffset + min(i, params.rows - 1u) * params.xStride + k;
#if X_VECTOR
  if (k >= params.columns) { return vec4<f32>(); }
  return vec4<f32>(x[at / 4u]);
#else
  var numbers = vec4<f32>();
  if (k < params.columns) { numbers.x = f32(x[at]); }
  if (k + 1u < params.columns) { numbers.y = f32(x[at + 1u]); }
  if (k + 2u < params.columns) { numbers.z = f32(x[at + 2u]); }
  if (k + 3u < params.columns) { numbers.w = f32(x[at + 3u]); }
  return numbers;
#end
}
