// Causal flash attention with f32 arithmetic. A workgroup takes $ROWS query rows
// of one head; keys come in tiles of $KEYS. Thread (tx, ty) owns rows ty + TY·i
// and, of scores, keys tx + TX·j, of outputs, columns 4·(tx + TX·c): neighbors
// read neighboring rows, and row strides are odd, so that banks do not collide.
// The score tile goes through workgroup memory, where one thread a row does the
// online softmax; a vector there holds keys tx, tx + TX, tx + 2 TX, tx + 3 TX, and
// the product with the values walks them in that order. Keys and values share
// one buffer: values are loaded behind the scores.

const LOWEST = -3.0e38;

var<workgroup> q_tile: array<vec4<f32>, $(ROWS * Q_STRIDE)>;
var<workgroup> kv_tile: array<vec4<f32>, $(KEYS * KV_STRIDE)>;
var<workgroup> p_tile: array<vec4<f32>, $(ROWS * P_STRIDE)>;
var<workgroup> row_factor: array<f32, $ROWS>;

$LOADS

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // Late tiles see more keys: they go first.
  let block = params.blocks - 1u - group.x;
  let tile = block / params.blocks_per_tile;
  let skipped = (block % params.blocks_per_tile) * $(ROWS)u;
  let head = group.y;
  let key_group = head * params.groups / params.heads;
  let sequence = tiles[4u * tile];
  let tile_rows = tiles[4u * tile + 2u];
  if (skipped >= tile_rows) { return; }
  let rows = min($(ROWS)u, tile_rows - skipped);
  let first_row = tiles[4u * tile + 1u] + skipped;
  let first_position = tiles[4u * tile + 3u] + skipped;
  let keys = first_position + rows;
  let tx = lane % $(TX)u;
  let ty = lane / $(TX)u;

#if CHUNKS == 1
#for t in 0..Q_LOADS
  {
    let at = lane + $(t * THREADS)u;
    let row = at / $(CHUNK4)u;
    if (at < $(ROWS * CHUNK4)u) {
      var value = vec4<f32>();
      if (row < rows) { value = params.scale * load_query(first_row + row, head, at % $(CHUNK4)u); }
      q_tile[row * $(Q_STRIDE)u + at % $(CHUNK4)u] = value;
    }
  }
#end
#end

  var row_max = LOWEST;
  var row_sum = 0.0;
#for i in 0..RM
#for c in 0..VC
  var acc$(i)_$(c) = vec4<f32>();
#end
#end

  for (var first_key = 0u; first_key < keys; first_key += $(KEYS)u) {
#for i in 0..RM
    var s$(i) = vec4<f32>();
#end
#for chunk in 0..CHUNKS
    {
      // Columns of the key in this chunk, in vectors.
#if chunk + 1 < CHUNKS
      const WIDTH = $(CHUNK4)u;
#else
      const WIDTH = $(W4 - chunk * CHUNK4)u;
#end
#for t in 0..K_LOADS
      var staged$(t) = vec4<f32>();
      {
        let at = lane + $(t * THREADS)u;
        let row = first_key + at / WIDTH;
        if (at < $(KEYS)u * WIDTH && row < keys) {
          staged$(t) = load_key(sequence, row, key_group, at % WIDTH + $(chunk * CHUNK4)u);
        }
      }
#end
      // The tile before is done with.
      workgroupBarrier();
#if CHUNKS > 1
      // Wide queries come chunk by chunk with the keys, each time again: they lie in
      // a cache, and rows of outputs a thread are worth more than the loads.
#for t in 0..Q_LOADS
      {
        let at = lane + $(t * THREADS)u;
        let row = at / WIDTH;
        if (at < $(ROWS)u * WIDTH) {
          var value = vec4<f32>();
          if (row < rows) { value = params.scale * load_query(first_row + row, head, at % WIDTH + $(chunk * CHUNK4)u); }
          q_tile[row * $(Q_STRIDE)u + at % WIDTH] = value;
        }
      }
#end
#end
#for t in 0..K_LOADS
      {
        let at = lane + $(t * THREADS)u;
        if (at < $(KEYS)u * WIDTH) { kv_tile[(at / WIDTH) * $(KV_STRIDE)u + at % WIDTH] = staged$(t); }
      }
#end
      workgroupBarrier();
      for (var c = 0u; c < WIDTH; c += 1u) {
#for j in 0..4
        let k$(j) = kv_tile[(tx + $(TX * j)u) * $(KV_STRIDE)u + c];
#end
#for i in 0..RM
        let q$(i) = q_tile[(ty + $(TY * i)u) * $(Q_STRIDE)u + c];
#end
#for e in 0..4
#for i in 0..RM
        s$(i) = fma(vec4<f32>(q$(i)[$e]), vec4<f32>(k0[$e], k1[$e], k2[$e], k3[$e]), s$(i));
#end
#end
      }
    }
#end
#for t in 0..V_LOADS
    var value$(t) = vec4<f32>();
    {
      let at = lane + $(t * THREADS)u;
      let row = first_key + at / $(V4)u;
      // Beyond the last key lies what may be anything, and 0 times NaN is NaN.
      if (at < $(KEYS * V4)u && row < keys) {
        value$(t) = load_value(sequence, row, key_group, at % $(V4)u);
      }
    }
#end
    let key = vec4<u32>(first_key + tx) + vec4<u32>(0u, $(TX)u, $(2 * TX)u, $(3 * TX)u);
#for i in 0..RM
    {
      let row = ty + $(TY * i)u;
      p_tile[row * $(P_STRIDE)u + tx] = select(s$(i), vec4<f32>(LOWEST), key > vec4<u32>(first_position + row));
    }
#end
    workgroupBarrier();
#for t in 0..V_LOADS
    {
      let at = lane + $(t * THREADS)u;
      if (at < $(KEYS * V4)u) { kv_tile[(at / $(V4)u) * $(KV_STRIDE)u + at % $(V4)u] = value$(t); }
    }
#end
    if (lane < $(ROWS)u) {
      let start = lane * $(P_STRIDE)u;
#for j in 0..TX
      let x$(j) = p_tile[start + $(j)u];
#end
      var top = x0;
#for j in 1..TX
      top = max(top, x$(j));
#end
      let new_max = max(max(max(top.x, top.y), max(top.z, top.w)), row_max);
      var sum = vec4<f32>();
#for j in 0..TX
      {
        let p = exp2(x$(j) - new_max);
        p_tile[start + $(j)u] = p;
        sum += p;
      }
#end
      let factor = exp2(row_max - new_max);
      row_sum = row_sum * factor + (sum.x + sum.y) + (sum.z + sum.w);
      row_max = new_max;
      row_factor[lane] = factor;
    }
    workgroupBarrier();
#for i in 0..RM
    {
      let factor = row_factor[ty + $(TY * i)u];
#for c in 0..VC
      acc$(i)_$(c) *= factor;
#end
    }
#end
    for (var j = 0u; j < $(TX)u; j += 1u) {
#for i in 0..RM
      let p$(i) = p_tile[(ty + $(TY * i)u) * $(P_STRIDE)u + j];
#end
#for e in 0..4
#for c in 0..VC
      {
        let value = kv_tile[(j + $(TX * e)u) * $(KV_STRIDE)u + tx + $(TX * c)u];
#for i in 0..RM
        acc$(i)_$(c) = fma(vec4<f32>(p$(i)[$e]), value, acc$(i)_$(c));
#end
      }
#end
#end
    }
  }

  // The factors of the last tile have all been read only after this.
  workgroupBarrier();
  if (lane < $(ROWS)u) {
    row_factor[lane] = 1.0 / row_sum;
#if LSE
    if (lane < rows) {
      lse[(first_row + lane) * params.heads + head] = (row_max + log2(row_sum)) * 0.6931471805599453;
    }
#end
  }
  workgroupBarrier();
#for i in 0..RM
  {
    let row = ty + $(TY * i)u;
    if (row < rows) {
      let factor = row_factor[row];
      let start = params.out_offset + (first_row + row) * params.out_stride + head * $(V)u;
#for c in 0..VC
      store_out(start, tx + $(TX * c)u, factor * acc$(i)_$(c));
#end
    }
  }
#end
}
