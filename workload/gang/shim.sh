#!/bin/sh
# One rank: `shim.sh PROGRAM [ARGUMENT...]`, started by whichever MPI, in the environment that the node's member made.
# Sends the rank's output into the member's pipes, puts it in its place, waits for it, and tells the member its pid and
# how it ended. Starts nothing but the rank: with 192 ranks a node every process counts.
folder=${TUTTI_RANKS:?only the member of a gang starts ranks}
TUTTI_RANK=${PMI_RANK:-${OMPI_COMM_WORLD_RANK:-${TUTTI_RANK:-0}}}
TUTTI_LOCAL_RANK=${MPI_LOCALRANKID:-${OMPI_COMM_WORLD_LOCAL_RANK:-${TUTTI_LOCAL_RANK:-0}}}
export TUTTI_RANK TUTTI_LOCAL_RANK
who="$TUTTI_RANK $TUTTI_LOCAL_RANK"

# The member has these pipes open before any daemon starts: without them this is no place for a rank.
[ -p "$folder/out.$TUTTI_LOCAL_RANK" ] || {
    echo "tutti: this node's member expects no local rank $TUTTI_LOCAL_RANK" >&2
    exit 210
}
exec >"$folder/out.$TUTTI_LOCAL_RANK" 2>"$folder/err.$TUTTI_LOCAL_RANK"
{ read -r cpus && read -r gpu && read -r job && read -r image; } <"$folder/place.$TUTTI_LOCAL_RANK"
cd "$job" || exit 210
if [ -n "$gpu" ]; then
    CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=$gpu
    export CUDA_DEVICE_ORDER CUDA_VISIBLE_DEVICES
fi
# A relative path is looked for in the job's folder, then where the image's own working directory is.
case $1 in
    /*) ;;
    */*)
        if [ ! -e "$1" ] && [ -e "$image/$1" ]; then
            program=$image/$1
            shift
            set -- "$program" "$@"
        fi
        ;;
esac
(
    # `$$` stays the outer shell's in here; /proc/self is this process, whose pid exec keeps.
    read -r pid _ </proc/self/stat
    echo "start $who $pid $$" >"$folder/report"
    if [ -n "$cpus" ]; then exec taskset -c "$cpus" "$@"; fi
    exec "$@"
)
code=$?
echo "end $who $code $$" >"$folder/report"
# The member knows how the rank ended, and main decides what comes of it. mpiexec hears 0 whatever it was: each MPI
# reacts to the rest in a way of its own, and would take the other ranks' grace from them when a stop ends the first.
exit 0
