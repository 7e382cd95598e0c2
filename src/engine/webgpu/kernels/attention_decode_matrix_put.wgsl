  {
#for u in 0..FIRST_UNITS
    {
      let unit = thread + $(u * 256)u;
#if (u + 1) * 256 <= TOKENS * (R / 8)
      {
#else
      if (unit < $(TOKENS * (R / 8))u) {
#end
        tile[($ROW + unit / $(R / 8)u) * LINE + unit % $(R / 8)u] = first$(u);
      }
    }
#end
#for u in 0..SECOND_UNITS
    {
      let unit = thread + $(u * 256)u;
#if (u + 1) * 256 <= TOKENS * (M / 8)
      {
#else
      if (unit < $(TOKENS * (M / 8))u) {
#end
        tile[($ROW + unit / $(M / 8)u) * LINE + $(R / 8)u + unit % $(M / 8)u] = second$(u);
      }
    }
#end
  }
