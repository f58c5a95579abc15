-- Which records are no rows, why, and where is one of them?
-- share: of all rejects; file and line: the first such record; raw: its beginning.
select
    reason,
    count(*) as records,
    round(count(*) / sum(count(*)) over (), 4) as share,
    min((file, line))[1] as file,
    min((file, line))[2] as line,
    left(arg_min(raw, (file, line)), 60) as raw
from rejects
group by reason
order by records desc, reason;
