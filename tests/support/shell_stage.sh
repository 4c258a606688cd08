#!/bin/sh
# A stage for tests in plain shell that keeps docs/stages.md: its result and its score are made of the hash of its inputs
# and its salt. It leaves a process behind in a session of its own, which whoever runs stages has to end.
set -eu
spec=$1
pause=${STRATA_TEST_PAUSE:-0.05}
setsid sleep 300 >/dev/null 2>&1 &
for step in 1 2 3; do
  printf '{"step": %d, "total": 3, "metrics": {"value": %d.5}}\n' "$step" "$step" >>progress.jsonl
  sleep "$pause"
done
salt=$(sed -n 's/^ *"salt": "\([^"]*\)".*/\1/p' "$spec")
inputs=$(sed -n '/^ *"inputs": {/,/}/s/^ *"[^"]*": "\(\/[^"]*\)".*/\1/p' "$spec")
hash=$({
  printf '%s\n' "$salt"
  for input in $inputs; do cat "$input"; done
} | sha256sum | cut -c 1-64)
printf '%s\n' "$hash" >out/result
stage=$(sed -n 's/^ *"stage": "\([^"]*\)".*/\1/p' "$spec")
value=$(printf '%s' "$hash" | tr 'a-f' '0-5' | cut -c 1-6)
printf '{"scores": [{"name": "%s", "value": 0.%s, "unit": "fraction", "count": 1, "better": "lower"}]}\n' "$stage" "$value" >scores.json
