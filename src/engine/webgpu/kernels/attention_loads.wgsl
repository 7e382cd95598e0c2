// Vectors of four columns of queries, keys and values as f32, whatever their
// element type; columns past the last are 0. In a query or key vector c < $N4 is
// of the part without rotation, the rest of the rotary part.

fn load_query(row: u32, head: u32, c: u32) -> vec4<f32> {
  let start = params.query_offset + row * params.query_stride + head * $(N + M)u;
  let rotary = c >= $(N4)u;
  let column = 4u * select(c, c - $(N4)u, rotary);
  let at = start + column + select(params.query_nope, params.query_rotary, rotary);
#if QUERY_VECTOR
  return vec4<f32>(query[at / 4u]);
#else
  let width = select($(N)u, $(M)u, rotary);
  var out = vec4<f32>();
  if (column < width) { out.x = f32(query[at]); }
  if (column + 1u < width) { out.y = f32(query[at + 1u]); }
  if (column + 2u < width) { out.z = f32(query[at + 2u]); }
  if (column + 3u < width) { out.w = f32(query[at + 3u]); }
  return out;
#end
}

fn load_key(sequence: u32, position: u32, key_group: u32, c: u32) -> vec4<f32> {
#if M > 0
  if (c >= $(N4)u) {
    let column = 4u * (c - $(N4)u);
    let row = sequence * params.capacity + position;
    let at = params.rotary_offset + row * params.rotary_stride + column;
#if ROTARY_VECTOR
    return vec4<f32>(rotary_key[at / 4u]);
#else
    var out = vec4<f32>();
    if (column < $(M)u) { out.x = f32(rotary_key[at]); }
    if (column + 1u < $(M)u) { out.y = f32(rotary_key[at + 1u]); }
    if (column + 2u < $(M)u) { out.z = f32(rotary_key[at + 2u]); }
    if (column + 3u < $(M)u) { out.w = f32(rotary_key[at + 3u]); }
    return out;
#end
  }
#end
  let column = 4u * c;
  let row = sequence * params.key_capacity + position;
  let at = params.key_offset + row * params.key_stride + key_group * params.key_group_stride + column;
#if KEY_VECTOR
  return vec4<f32>(key[at / 4u]);
#else
  var out = vec4<f32>();
  if (column < $(N)u) { out.x = f32(key[at]); }
  if (column + 1u < $(N)u) { out.y = f32(key[at + 1u]); }
  if (column + 2u < $(N)u) { out.z = f32(key[at + 2u]); }
  if (column + 3u < $(N)u) { out.w = f32(key[at + 3u]); }
  return out;
#end
}
#if V > 0

fn load_value(sequence: u32, position: u32, value_group: u32, c: u32) -> vec4<f32> {
  let column = 4u * c;
  let row = sequence * params.value_capacity + position;
  let at = params.value_offset + row * params.value_stride + value_group * params.value_group_stride + column;
#if VALUE_VECTOR
  return vec4<f32>(values[at / 4u]);
#else
  var out = vec4<f32>();
  if (column < $(V)u) { out.x = f32(values[at]); }
  if (column + 1u < $(V)u) { out.y = f32(values[at + 1u]); }
  if (column + 2u < $(V)u) { out.z = f32(values[at + 2u]); }
  if (column + 3u < $(V)u) { out.w = f32(values[at + 3u]); }
  return out;
#end
}

fn store_out(start: u32, c: u32, value: vec4<f32>) {
#if OUT_VECTOR
  if (c < $(V4)u) { out[start / 4u + c] = vec4<$OUT>(value); }
#else
  let column = 4u * c;
  if (column < $(V)u) { out[start + column] = $OUT(value.x); }
  if (column + 1u < $(V)u) { out[start + column + 1u] = $OUT(value.y); }
  if (column + 2u < $(V)u) { out[start + column + 2u] = $OUT(value.z); }
  if (column + 3u < $(V)u) { out[start + column + 3u] = $OUT(value.w); }
#end
}
#end
