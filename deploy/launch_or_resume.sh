#!/usr/bin/env bash
# Run a study, or go on with it where its workspace has it already: the same line is right after any crash.
#
#   launch_or_resume.sh NAME WORKSPACE ADDRESS RECIPE [OPTION OF `adapert launch`]...
set -euo pipefail

if (($# < 4)); then
    echo "usage: launch_or_resume.sh NAME WORKSPACE ADDRESS RECIPE [OPTION]..." >&2
    exit 2
fi
name=$1 workspace=$2 address=$3
shift 3

# exec: a signal to this process is one to the command, which takes SIGTERM as Ctrl-C.
if [[ -e "$workspace/studies/$name/ledger.jsonl" ]]; then
    exec adapert resume "$name" --workspace "$workspace" --address "$address"
fi
exec adapert launch "$@" --name "$name" --workspace "$workspace" --address "$address"
