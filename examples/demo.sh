#!/bin/sh
# Learns the class importances behind real counts: batches of 256 labels of Fashion-MNIST, five of whose ten classes
# were thinned to 60 % (make_fashion_counts.py). The data say only how often every class came up in every batch; the urn
# has to find out which classes are rare, and how rare.
#
# Also a check: fails unless the means of the learned urn are within 3 % of the data's for every class, and every whole
# class has at least 1.25 times the importance of every thinned one (the shares alone differ by 1.67).
#
# usage: demo.sh GUMBELURN [option of gumbelurn fit ...]
set -eu

program=${1:?usage: demo.sh GUMBELURN [options]}
shift
data=$(dirname "$0")/data
result=$(mktemp)
trap 'rm -f "$result"' EXIT

set -- fit --m 10x256 --n 256 --in "$data/fashion_counts.csv" --seed 1 "$@"
echo "$program $*"
"$program" "$@" --out "$result"

awk -F, '
    FNR == 1 { next }
    NR == FNR { name[$1] = $2; group[$1] = $3; share[$1] = $5; next }
    {
        data_total += data[$1] = $3
        urn_total += urn[$1] = $4
        omega[$1] = $6
        classes++
    }
    END {
        printf "\n%-11s %-8s %10s %13s %7s %9s %9s\n", "class", "group", "true share", "learned share", "omega",
               "data mean", "deviation"
        for (c = 0; c < classes; c++) {
            deviation = urn[c] / data[c] - 1
            if (!(deviation <= 0.03 && deviation >= -0.03)) missed++
            if (group[c] == "thinned" && !(omega[c] <= rare)) rare = omega[c]
            if (group[c] == "whole" && (!seen++ || omega[c] < common)) common = omega[c]
            printf "%-11s %-8s %9.2f%% %12.2f%% %7.4f %9.3f %8.2f%%\n", name[c], group[c], 100 * share[c],
                   100 * urn[c] / urn_total, omega[c], data[c], 100 * deviation
        }
        printf "\nhighest omega of a thinned class %.4f, lowest of a whole one %.4f\n", rare, common
        if (classes != 10 || missed) { print "MISSED: a class mean is off by more than 3 %"; bad = 1 }
        if (!(1.25 * rare <= common)) { print "MISSED: the two groups are not separated"; bad = 1 }
        if (!bad) print "class means within 3 %, groups separated"
        exit bad
    }' "$data/fashion_shares.csv" "$result"
