-- Has every split that should have rows some?
-- split: without a row.
-- param split_val = 0.05
-- param split_test = 0.1
-- kind = rows
-- tolerated = 0
select split
from (values ('train', 1.0), ('val', $split_val), ('test', $split_test)) as wanted(split, share)
anti join splits using (split)
where share > 0;
