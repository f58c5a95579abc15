-- What became of the URLs, and why is there no picture behind some?
-- reason: ok where there is a picture; status: permanent ones fail again, transient ones are asked
-- again when download.attempt is raised; urls: how many, share: of all; hosts: how many the reason
-- occurs at; http_status: the commonest; example: the URL of the lowest row_id.
with counted as (
    select
        status,
        reason,
        count(*) as urls,
        count(distinct host) as hosts,
        mode(http_status) as http_status,
        min(row_id) as row_id
    from downloads
    group by status, reason
)
select
    status,
    coalesce(reason, status) as reason,
    urls,
    round(urls / sum(urls) over (), 4) as share,
    hosts,
    counted.http_status,
    url as example
from counted join captions using (row_id)
order by urls desc, reason;
