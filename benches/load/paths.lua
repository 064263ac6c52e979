-- wrk's script: paths that differ in the number at their end, in turn.
--
-- Usage: wrk … -s paths.lua URL -- PREFIX NUMBER COUNTS
--
-- COUNTS is a file of a thousand zeros of eight bytes; how many requests have been made stands in the first while it runs.

local beside = debug.getinfo(1, "S").source:match("^@(.*/)")
local requests, number, counts = {}, 0, nil

function init(arguments)
    for at = 1, tonumber(arguments[2]) do
        requests[at] = wrk.format("GET", arguments[1] .. at - 1, {["Host"] = "localhost"})
    end
    counts = dofile(beside .. "counts.lua")(arguments[3])
end

function request()
    number = number + 1
    counts[0] = number
    return requests[number % #requests + 1]
end
