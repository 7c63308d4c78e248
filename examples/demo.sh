#!/bin/sh
# Learns the class importances behind real counts: batches of 256 labels of Fashion-MNIST, five of whose ten classes
# were thinned to 60 % (make_fashion_counts.py). The data say only how often every class came up in every batch; the urn
# has to find out which classes are rare, and how rare. Twice: by maximum likelihood, and by gradient descent through the
# relaxed sampler.
#
# Also a check. Fails unless, for every class, the mean of the urn is that of the data, within 3 % by gradient descent and
# 1e-6 of it by maximum likelihood; and by both every whole class has at least 1.25 times the importance of every thinned
# one (the shares alone differ by 1.67).
#
# usage: demo.sh GUMBELURN [option of gumbelurn fit --method sgd ...]
set -eu

program=${1:?usage: demo.sh GUMBELURN [options]}
shift
data=$(dirname "$0")/data
mle=$(mktemp)
sgd=$(mktemp)
trap 'rm -f "$mle" "$sgd"' EXIT

# fit RESULT OPTION...
fit() {
    result=$1
    shift
    set -- fit --m 10x256 --n 256 --in "$data/fashion_counts.csv" "$@"
    echo "$program $*"
    "$program" "$@" --out "$result"
}

fit "$mle" --method mle
echo
fit "$sgd" --method sgd --seed 1 "$@"

awk -F, '
    FNR == 1 { file++; next }
    file == 1 { name[$1] = $2; group[$1] = $3; share[$1] = $5; next }
    {
        method = file == 2 ? "mle" : "sgd"
        data[method] += $3
        drawn[method] += urn[method, $1] = $4
        log_omega[method, $1] = $5
        omega[method, $1] = $6
        if (file == 2) { error[$1] = $7; classes++ }
        limit = file == 2 ? 1e-6 : 0.03
        deviation[method, $1] = $4 / $3 - 1
        if (!(deviation[method, $1] <= limit && deviation[method, $1] >= -limit)) missed[method]++
        if (group[$1] == "thinned" && !($6 <= rare[method])) rare[method] = $6
        if (group[$1] == "whole" && (!seen[method]++ || $6 < common[method])) common[method] = $6
    }
    END {
        printf "\n%-11s %-8s %7s | %-38s | %s\n", "", "", "true", "maximum likelihood", "gradient descent"
        printf "%-11s %-8s %7s | %8s %8s %10s %9s | %8s %8s %10s %9s\n", "class", "group", "share", "share", "omega",
               "log omega", "std error", "share", "omega", "log omega", "mean off"
        for (c = 0; c < classes; c++)
            printf "%-11s %-8s %6.2f%% | %7.2f%% %8.4f %10.4f %9.4f | %7.2f%% %8.4f %10.4f %8.2f%%\n", name[c], group[c],
                   100 * share[c], 100 * urn["mle", c] / drawn["mle"], omega["mle", c], log_omega["mle", c], error[c],
                   100 * urn["sgd", c] / drawn["sgd"], omega["sgd", c], log_omega["sgd", c], 100 * deviation["sgd", c]
        print ""
        split("mle sgd", methods, " ")
        for (i = 1; i <= 2; i++) {
            method = methods[i]
            printf "%s: highest omega of a thinned class %.4f, lowest of a whole one %.4f\n", method, rare[method],
                   common[method]
            if (classes != 10 || missed[method]) {
                print "MISSED: a class mean is off by more than " (method == "mle" ? "1e-6 of it" : "3 %")
                bad = 1
            }
            if (!(1.25 * rare[method] <= common[method])) { print "MISSED: the two groups are not separated"; bad = 1 }
        }
        if (!bad) print "class means within 1e-6 and 3 %, groups separated"
        exit bad
    }' "$data/fashion_shares.csv" "$mle" "$sgd"
