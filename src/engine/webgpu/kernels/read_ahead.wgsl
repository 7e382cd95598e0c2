// Reads the weights of a later product, and forgets them.
fn read_ahead(thread: u32) {
  var found = vec4<u32>();
  for (var i = thread; i < params.ahead_vectors; i += $(LOADS)u * params.ahead_step) {
#for l in 0..LOADS
    let vector$(l) = ahead[min(i + $(l)u * params.ahead_step, params.ahead_vectors - 1u)];
#end
#for l in 0..LOADS
    found ^= vector$(l);
#end
  }
  // Hardly ever: but without it nothing would be read.
  if (all(found == vec4<u32>(0x5ead0f0au))) { sink[0] = found.x; }
}
