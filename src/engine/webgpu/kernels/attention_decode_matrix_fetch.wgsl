  // Tile $AT on its way from memory; tokens past the end are zero.
  {
    let begin = start + ($AT) * $(TOKENS)u;
#for u in 0..FIRST_UNITS
    {
      let unit = thread + $(u * 256)u;
      let token = begin + unit / $(R / 8)u;
      first$(u) = vec4<u32>();
#if (u + 1) * 256 <= TOKENS * (R / 8)
      if (token < end) {
#else
      if (token < end && unit < $(TOKENS * (R / 8))u) {
#end
        first$(u) = first[params.first_offset + (cached + token) * params.first_line + unit % $(R / 8)u];
      }
    }
#end
#for u in 0..SECOND_UNITS
    {
      let unit = thread + $(u * 256)u;
      let token = begin + unit / $(M / 8)u;
      second$(u) = vec4<u32>();
#if (u + 1) * 256 <= TOKENS * (M / 8)
      if (token < end) {
#else
      if (token < end && unit < $(TOKENS * (M / 8))u) {
#end
        second$(u) = second[params.second_offset + (cached + token) * params.second_line + unit % $(M / 8)u];
      }
    }
#end
  }
