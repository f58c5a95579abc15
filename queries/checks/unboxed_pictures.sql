-- Could nearly every picture be annotated?
-- Share of the rows whose answer is missing or unreadable: queries/box_problems.sql.
-- kind = value
-- max = 0.05
select avg((error is not null)::int) as unboxed_share from boxes;
