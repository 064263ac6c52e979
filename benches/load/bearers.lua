-- wrk's script: a bearer token with each request.
--
-- Usage: wrk … -s bearers.lua URL -- TOKENS FORM [COUNTS]
--
-- TOKENS has one token a line; they are sent in turn. With the form `fresh` ten characters in the middle of the signature are
-- a running number, so that no token is ever sent twice; `same` sends them as they are. With COUNTS, a file of a thousand
-- zeros of eight bytes, answers are counted there by status while it runs.

local beside = debug.getinfo(1, "S").source:match("^@(.*/)")
local requests, number, fresh, counts = {}, 0, false, nil

function init(arguments)
    local file, form, counted = arguments[1], arguments[2], arguments[3]
    fresh = form == "fresh"
    for token in io.lines(file) do
        local mark = #token - 100
        local sent = fresh and token:sub(1, mark) .. "##########" .. token:sub(mark + 11) or token
        local request = wrk.format("GET", nil, {["Host"] = "localhost", ["Authorization"] = "Bearer " .. sent})
        local before, after = request:match("^(.*)##########(.*)$")
        requests[#requests + 1] = fresh and {before, after} or request
    end
    if counted then
        counts = dofile(beside .. "counts.lua")(counted)
        -- Only now: an answer's fields and body are gathered when there is somebody to look at them.
        response = function(status)
            counts[status] = counts[status] + 1
        end
    end
end

function request()
    number = number + 1
    local one = requests[number % #requests + 1]
    if fresh then
        return one[1] .. string.format("%010d", number) .. one[2]
    end
    return one
end
