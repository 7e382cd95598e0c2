// Sums of attention weights, without an atomic: a workgroup owns $KEYS keys of a
// sequence and takes a share of the heads, walks over all queries that see them,
// $ROWS at a time, and computes weights again from scores and lse. Thread (tx, ty)
// has queries ty + TY·i and keys tx + TX·j. What keys receive stays in registers;
// sums by distance are taken along the diagonals of the tile of weights and added
// to the workgroup's own row of `mass`, which attention_sums_total.wgsl adds up.

var<workgroup> q_tile: array<vec4<f32>, $(ROWS * STRIDE)>;
var<workgroup> k_tile: array<vec4<f32>, $(KEYS * STRIDE)>;
var<workgroup> p_tile: array<f32, $(ROWS * (KEYS + 1))>;

$LOADS

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile = group.x / params.blocks_per_tile;
  let skipped = (group.x % params.blocks_per_tile) * $(KEYS)u;
  let slice = group.y;
  let sequence = tiles[4u * tile];
  let tile_rows = tiles[4u * tile + 2u];
  let mass_row = (group.x * params.slices + slice) * params.distances;
  for (var at = lane; at < params.distances; at += $(THREADS)u) { mass[mass_row + at] = 0.0; }
  // Other threads will add to these.
  storageBarrier();
  if (skipped >= tile_rows) { return; }
  let first_key = tiles[4u * tile + 3u] + skipped;
  let keys = min($(KEYS)u, tile_rows - skipped);
  // Sequences lie whole in the pass: position p is row first_row + p.
  let first_row = tiles[4u * tile + 1u] - tiles[4u * tile + 3u];
  var last = tile;
  while (last + 1u < params.tile_count && tiles[4u * (last + 1u)] == sequence) { last += 1u; }
  let length = tiles[4u * last + 3u] + tiles[4u * last + 2u];
  let tx = lane % $(TX)u;
  let ty = lane / $(TX)u;

  var received_here = vec4<f32>();
  for (var head = slice; head < params.heads; head += params.slices) {
    let key_group = head * params.groups / params.heads;
    for (var first_query = first_key; first_query < length; first_query += $(ROWS)u) {
#for i in 0..RM
      var s$(i) = vec4<f32>();
#end
      for (var chunk = 0u; chunk < $(W4)u; chunk += $(CHUNK4)u) {
        workgroupBarrier();
        for (var at = lane; at < $((ROWS + KEYS) * CHUNK4)u; at += $(THREADS)u) {
          let row = at / $(CHUNK4)u;
          let c = at % $(CHUNK4)u;
          var value = vec4<f32>();
          if (row < $(ROWS)u) {
            if (first_query + row < length && chunk + c < $(W4)u) {
              value = params.scale * load_query(first_row + first_query + row, head, chunk + c);
            }
            q_tile[row * $(STRIDE)u + c] = value;
          } else {
            let k = row - $(ROWS)u;
            if (k < keys && chunk + c < $(W4)u) { value = load_key(sequence, first_key + k, key_group, chunk + c); }
            k_tile[k * $(STRIDE)u + c] = value;
          }
        }
        workgroupBarrier();
        for (var c = 0u; c < $(CHUNK4)u; c += 1u) {
#for j in 0..4
          let k$(j) = k_tile[(tx + $(TX * j)u) * $(STRIDE)u + c];
#end
#for i in 0..RM
          let q$(i) = q_tile[(ty + $(TY * i)u) * $(STRIDE)u + c];
#end
#for e in 0..4
#for i in 0..RM
          s$(i) = fma(vec4<f32>(q$(i)[$e]), vec4<f32>(k0[$e], k1[$e], k2[$e], k3[$e]), s$(i));
#end
#end
        }
      }
      let key = vec4<u32>(tx, tx + $(TX)u, tx + $(2 * TX)u, tx + $(3 * TX)u);
#for i in 0..RM
      {
        let row = ty + $(TY * i)u;
        let query_at = first_query + row;
        // A row past the last has no lse of its own.
        let at = (first_row + min(query_at, length - 1u)) * params.heads + head;
        let seen = (key + first_key <= vec4<u32>(query_at)) & (key < vec4<u32>(keys)) & vec4<bool>(query_at < length);
        let p = select(vec4<f32>(), min(vec4<f32>(1.0), exp2(s$(i) - lse[at] * 1.4426950408889634)), seen);
        received_here += p;
#for j in 0..4
        p_tile[row * $(KEYS + 1)u + tx + $(TX * j)u] = p[$j];
#end
      }
#end
      workgroupBarrier();
      // Diagonal g of the tile has query - key = first_query - first_key + g - (KEYS - 1).
      for (var g = lane; g < $(ROWS + KEYS - 1)u; g += $(THREADS)u) {
        let low = max(g, $(KEYS - 1)u) - $(KEYS - 1)u;
        let high = min(g + 1u, $(ROWS)u);
        var sum = 0.0;
        for (var row = low; row < high; row += 1u) {
          sum += p_tile[row * $(KEYS + 1)u + row + $(KEYS - 1)u - g];
        }
        let shifted = first_query - first_key + g;
        if (shifted >= $(KEYS - 1)u && shifted - $(KEYS - 1)u < params.distances) {
          mass[mass_row + shifted - $(KEYS - 1)u] += sum;
        }
      }
      // The next tile's diagonals overlap with these, in other threads.
      storageBarrier();
    }
  }

  workgroupBarrier();
#for j in 0..4
  p_tile[ty * $(KEYS + 1)u + tx + $(TX * j)u] = received_here[$j];
#end
  workgroupBarrier();
  for (var k = lane; k < keys; k += $(THREADS)u) {
    var sum = 0.0;
    for (var y = 0u; y < $(TY)u; y += 1u) { sum += p_tile[y * $(KEYS + 1)u + k]; }
    received_parts[slice * params.rows + first_row + first_key + k] = sum;
  }
}
