-- What became of the URLs, and why is there no picture behind some?
-- status: permanent ones fail again; transient ones are asked again when download.attempt is
-- raised. urls: how many, share: of all; hosts: how many the reason occurs at; http_status: the
-- commonest; example: the URL of the lowest row_id.
select
    status,
    reason,
    count(*) as urls,
    round(count(*) / (select count(*) from downloads), 4) as share,
    count(distinct host) as hosts,
    mode(http_status) as http_status,
    arg_min(url, row_id) as example
from downloads join captions using (row_id)
group by status, reason
order by urls desc, reason;
