-- What became of the URLs, and why is there no picture behind some?
-- reason: ok where there is a picture; status: permanent ones fail again; transient ones are asked again when download.attempt is raised.
-- hosts: how many the reason occurs at; http_status: the commonest; example: a URL.
select
    status,
    coalesce(reason, status) as reason,
    count(*) as urls,
    round(count(*) / (select count(*) from downloads), 4) as share,
    count(distinct host) as hosts,
    mode(http_status) as http_status,
    left(arg_min(url, row_id), 60) as example
from downloads join captions using (row_id)
group by status, downloads.reason
order by urls desc, reason;
