#!/bin/sh
# Generate, train, evaluate, and write the weights and the card:  sh models/nano/train.sh [run folder] [minutes]
set -eu
here=$(dirname "$0")
run=${1:-runs/nano}
minutes=${2:-100}
# big buffers are kept for the next step, kernels for every shape stay cached
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=2000000000 MALLOC_TOP_PAD_=100000000
export ONEDNN_PRIMITIVE_CACHE_CAPACITY=8192 LRU_CACHE_CAPACITY=8192
python "$here/train.py" --run "$run" --minutes "$minutes"
python "$here/evaluate.py" --model "$run/model" --out "$run/report.json"
python "$here/release.py" --run "$run" --report "$run/report.json"
