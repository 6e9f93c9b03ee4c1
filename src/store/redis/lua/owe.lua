-- Makes charges of rates that were admitted elsewhere, whatever the counters say.
for n, c in ipairs(counters) do charge(KEYS[n], c) end
return answer()
