-- Which pictures stand behind many captions: exact duplicates, and "this picture was removed"?
-- captions, hosts: how many lead to this file; caption, another: two of them, the lowest and
-- highest row_id. A placeholder shows on unrelated captions.
-- param least = 2
-- param limit = 20
with shared as (
    select
        sha256,
        count(*) as captions,
        count(distinct host) as hosts,
        unnest([min(row_id), max(row_id)]) as row_id
    from downloads
    where sha256 is not null
    group by sha256
    having count(*) >= $least
    order by captions desc, sha256
    limit 2 * $limit
)
select
    sha256,
    any_value(shared.captions) as captions,
    any_value(hosts) as hosts,
    any_value(width) as width,
    any_value(height) as height,
    any_value(n_bytes) as n_bytes,
    left(arg_min(caption, row_id), 40) as caption,
    left(arg_max(caption, row_id), 40) as another
from shared join images using (sha256) join captions using (row_id)
group by sha256
order by captions desc, sha256;
