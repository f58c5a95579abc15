-- Are few URLs left that failed for a passing reason?
-- Share of the rows; raising download.attempt asks them again.
-- kind = value
-- max = 0.1
-- severity = warn
select avg((status = 'transient')::int) as transient_share from downloads;
