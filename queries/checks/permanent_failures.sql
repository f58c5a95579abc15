-- Do enough of the URLs still give a picture?
-- Share of the rows whose URL fails for good. Old links die, but where four of five do, suspect a
-- proxy, a blocked user agent or min_side before the web: queries/download_reasons.sql.
-- kind = value
-- max = 0.8
select avg((status = 'permanent')::int) as permanent_share from downloads;
