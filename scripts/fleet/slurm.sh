#!/usr/bin/env bash
# A job array over kinds of nodes: sbatch --array=0-3 scripts/fleet/slurm.sh, from the root of the repository, with
# FLEET_RESULTS a folder that all nodes see. Task N runs the Nth scenario; constrain tasks to nodes by partitions or features of
# your own (one sbatch each). Afterwards: scripts/fleet/collect "$FLEET_RESULTS" comparison
#SBATCH --job-name=harness
#SBATCH --nodes=1
#SBATCH --exclusive
# The longest of these takes seven hours and a half by the harness's own guess (`harness run SCENARIO --dry-run`), and has to be built.
#SBATCH --time=10:00:00
#SBATCH --output=harness-%A-%a.log
set -euo pipefail
scenarios=(scenarios/m2.yaml scenarios/i9-9900k.yaml scenarios/epyc-7763.yaml scenarios/graviton3.yaml)
cd "${SLURM_SUBMIT_DIR:?run by sbatch}"
task="${SLURM_ARRAY_TASK_ID:?submit with --array=0-$((${#scenarios[@]} - 1))}"
[[ $task -lt ${#scenarios[@]} ]] || {
    echo "task $task: there are ${#scenarios[@]} scenarios" >&2
    exit 2
}
# Builds of one task must not disturb another's on the same file system.
export CARGO_TARGET_DIR="${TMPDIR:-/tmp}/harness-target-$SLURM_ARRAY_TASK_ID"
export NODE_NAME="${SLURMD_NODENAME:-$(uname -n)}-$task"
# In place of this shell, so that it is told when the job is to end.
exec scripts/fleet/node "${scenarios[$task]}" "${FLEET_RESULTS:?a folder that all nodes see}"
