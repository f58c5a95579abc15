-- Which hosts still give pictures, and how sure is that?
-- urls: of the host; ok: that gave a picture that fits the params; share: of its urls; lo, hi: its
-- 95 % interval (Wilson) if these rows are a random draw; transient: that failed and may not fail
-- again; failure: the commonest reason of the others.
-- param limit = 30
with counted as (
    select
        host,
        count(*) as n,
        count(*) filter (status = 'ok') as ok,
        count(*) filter (status = 'transient') as transient,
        mode(reason) as failure
    from downloads group by host
), shared as (select *, ok / n as p, 1.96 as z from counted)
select
    host,
    n as urls,
    ok,
    transient,
    round(p, 4) as share,
    round((p + z^2 / (2 * n) - z * sqrt(p * (1 - p) / n + z^2 / (4 * n^2))) / (1 + z^2 / n), 4) as lo,
    round((p + z^2 / (2 * n) + z * sqrt(p * (1 - p) / n + z^2 / (4 * n^2))) / (1 + z^2 / n), 4) as hi,
    failure
from shared
order by n desc, host
limit $limit;
