// Eight numbers as halves, as matrices are loaded from.
fn halves(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  // Beyond the range of halves a number becomes the largest: infinities would end
  // as NaN.
  let most = vec4<f32>(65504.0);
  let a = clamp(low, -most, most);
  let b = clamp(high, -most, most);
  return vec4<u32>(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}

