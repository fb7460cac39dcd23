-- Returns: level, epoch, guesses left at the level (-1 for no bound), wrong guesses, successes, successes a day
-- include: thermostat.lua
local rest = level < top and left[level] or -1
return {level, epoch, math.floor(rest), tonumber(f['wrong'] or '0'), tonumber(f['won'] or '0'), math.floor(week / 7)}
