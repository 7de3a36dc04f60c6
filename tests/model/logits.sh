#!/bin/sh
# skein-model logits against float64 goldens: our own small models in every
# layout, then the shared models, when they are there.
set -eu
golden=$SRC/tests/golden
data=$SRC/../shared/rwkv7/data
compare() { # MODEL GOLDEN TOLERANCE
    "$BIN/golden_logits" "$BIN/skein-model" "$@"
}

for model in small16-blink.safetensors small16-fla.safetensors \
    small16-xx-fla.safetensors small16-fla-sharded \
    small16-fla-sharded/model.safetensors.index.json small16.pth; do
    compare "$golden/$model" "$golden/small16" 2e-5
done
compare "$golden/small32-noln0-bias-blink.safetensors" \
    "$golden/small32-noln0-bias" 2e-5

if [ ! -d "$data" ]; then
    echo "SKIP tiny, synth and reverse-l2: no ../shared/rwkv7/data"
    exit 0
fi
for model in tiny-blink.safetensors fla; do
    compare "$data/tiny/$model" "$data/tiny/tiny" 2e-5
done
for model in synth-bf16.pth synth-blink-bf16.safetensors fla-f32 \
    fla-bf16-sharded; do
    compare "$data/synth/$model" "$data/synth/synth" 1e-4
done
for model in reverse-blink.safetensors fla; do
    compare "$data/reverse-l2/$model" "$data/reverse-l2/reverse" 5e-3
done
