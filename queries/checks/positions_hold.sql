-- Do the boxes agree with what the captions say of positions?
-- Share of the rows with a testable position all of whose positions hold; the others do not train.
-- kind = value
-- min = 0.7
-- severity = warn
select avg(spatial_agree::int) as agree_share from boxes;
