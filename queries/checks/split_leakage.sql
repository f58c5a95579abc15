-- Is no caption and no picture on both sides of the split?
-- member: the caption, or the picture (its perceptual hash, or digest); splits: that its rows are in;
-- row_id: the lowest. What more than split.max_group rows share does not link them, and is left out.
-- param split_max_group = 100
-- kind = rows
-- tolerated = 0
with member as (
    select row_id, split, caption as member
    from splits join captions using (row_id)
    union all
    select row_id, split, coalesce(phash::varchar, sha256)
    from splits join downloads using (row_id) join images using (sha256)
)
select member, list_sort(list(distinct split)) as splits, count(*) as n, min(row_id) as row_id
from member
group by member
having count(distinct split) > 1 and count(*) <= $split_max_group;
