#!/bin/bash
# What to train first on one GPU without network: Fig. 2 at 64 pixels and full width.
#
#   scripts/accelerator_day.sh PICTURES.tar RUNS OUT
#
# Trains the seven networks of configs/tiny_imagenet.py with the first seed, then with
# more, for one piece of 9 minutes, and copies the records without checkpoints to OUT.
# Called again with the same arguments it goes on, bit for bit; three pieces are half an
# hour. It ends with 0 once all have ended. The networks share the device, since one
# waits for its pictures most of the time.
#
# From the environment: STEPS of each network (16,000), SECONDS_A_PIECE (520), SEEDS
# ("0 1 2"), JOBS side by side (7), PYTHON, FLAGS for sweep.py.
set -u
[ $# -eq 3 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | head -5; exit 2; }
pictures=$(realpath "$1") runs=$2 out=$3
here=$(dirname "$(realpath "$0")")
export XLA_PYTHON_CLIENT_PREALLOCATE=false  # several processes on one device

members=
for seed in ${SEEDS:-0 1 2}; do
    for network in bn_x30 bn_x5 bn_baseline inception bn_x5_sigmoid inception_x5 \
        inception_sigmoid; do
        members=$members,${network}_seed$seed
    done
done

# SIGTERM has every run save what it is at; the sweep then ends by itself.
timeout -s TERM "${SECONDS_A_PIECE:-520}" "${PYTHON:-python}" "$here/sweep.py" \
    --config "configs/tiny_imagenet.py:${members#,}" --workdir "$runs" \
    --axis "steps=${STEPS:-16000}" --executor=processes --jobs="${JOBS:-7}" \
    --config.data.train="$pictures" --config.data.val="$pictures" \
    --config.model.width=1.0 --config.data.workers=1 \
    --config.checkpoint.every=1000 ${FLAGS:-}
status=$?
mkdir -p "$out" && cp -r "$runs/." "$out" && rm -rf "$out"/*/checkpoints
[ $status -eq 0 ] && echo "all have ended; the records are in $out" ||
    echo "call it again to go on; the records so far are in $out"
exit $status
