-- Which captions stand at several URLs, most repeated first?
-- urls: distinct (url, caption) rows with this caption; the exact duplicates are gone already;
-- row_id: the lowest of them.
-- param limit = 20
select caption, count(*) as urls, min(row_id) as row_id
from candidates
group by caption
having count(*) > 1
order by urls desc, caption
limit $limit;
