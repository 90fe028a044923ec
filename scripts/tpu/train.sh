#!/bin/bash
# One run on all hosts of a Cloud TPU slice: TPU=name ZONE=zone scripts/tpu/train.sh
# Every host runs the same command, and the hosts find each other by themselves. The
# repository, with `pip install -e ".[tpu]"` in ~/bn_repro/.venv, lies on each of them;
# the run folder and the pictures on a file system that all see, such as Filestore or a
# bucket mounted by gcsfuse (gs:// itself is refused). Started again, it resumes.
set -euo pipefail
: "${TPU:?give the name of the slice}" "${ZONE:?give its zone}"
RUNS=${RUNS:-/mnt/shared/runs} IMAGENET=${IMAGENET:-/mnt/shared/imagenet}

gcloud compute tpus tpu-vm ssh "$TPU" --zone "$ZONE" --worker=all --command "
    cd ~/bn_repro && exec .venv/bin/python scripts/train.py \
        --config configs/imagenet.py:bn_x30 --workdir $RUNS/imagenet/bn_x30 \
        --config.batch_size=1024 --config.model.dtype=bfloat16 \
        --config.data.workers=32 \
        --config.data.train=$IMAGENET/train --config.data.val=$IMAGENET/val $*"
