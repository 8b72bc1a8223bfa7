#!/bin/sh
# Hand a file from job to job: the first writes it to S3, two others wait for it with --after, change it and write theirs.
#     sh examples/handover/handover.sh [PLACE]      # PLACE: below the group's own place in the bucket
set -e
place=${1:-handover}
base=$(tutti cluster show | sed -n 's/^bucket *//p')$place

first=$(tutti submit --name write --nodes 1 --ranks-per-node 1 --output "$base/first" -- \
    sh -c 'echo "one line" >"$TUTTI_JOB_FOLDER/output/words.txt"')
for how in upper twice; do
    case $how in
        upper) change='tr a-z A-Z <input/words.txt >output/words.txt' ;;
        twice) change='cat input/words.txt input/words.txt >output/words.txt' ;;
    esac
    last="$last $(tutti submit --name "$how" --nodes 1 --ranks-per-node 1 --after "$first" \
        --input "$base/first/node-0/words.txt" --output "$base/$how" -- sh -c "$change")"
done
for job in $last; do
    tutti wait "$job"
done
tutti data get "$place/upper/node-0/words.txt" upper.txt
tutti data get "$place/twice/node-0/words.txt" twice.txt
