-- Which captions stand on several pictures, most repeated first?
-- urls: distinct (url, caption) rows with this caption; the exact duplicates are gone already.
-- param limit = 20
select caption, count(*) as urls, min(url) as example_url
from candidates
group by caption
having count(*) > 1
order by urls desc, caption
limit $limit;
