-- Does every table hold each row once?
-- source: the table; row_id, or sha256 in images: what it holds n times.
-- kind = rows
-- tolerated = 0
select 'candidates' as source, row_id, null as sha256, count(*) as n
from candidates group by row_id having n > 1
union all
select 'captions', row_id, null, count(*) as n from captions group by row_id having n > 1
union all
select 'downloads', row_id, null, count(*) as n from downloads group by row_id having n > 1
union all
select 'boxes', row_id, null, count(*) as n from boxes group by row_id having n > 1
union all
select 'splits', row_id, null, count(*) as n from splits group by row_id having n > 1
union all
select 'images', null, sha256, count(*) as n from images group by sha256 having n > 1;
