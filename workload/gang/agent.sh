#!/bin/sh
# The launch agent: `agent.sh [OPTION...] HOST COMMAND...`, called by mpiexec the way it would call ssh, once a node.
# Hands the command to the roster through the pipes beside this script and lives as long as the daemon that it starts.
# Nothing is forked: with 1,000 nodes there are 1,000 of these on the main node.
folder=${0%/*}
while [ $# -gt 0 ]; do
    case $1 in
        -[bcDEeFIiJLlmOopQRSWw]) shift 2 ;; # ssh's options that take a value
        -*) shift ;;
        *) break ;;
    esac
done
host=${1#*@}
[ -p "$folder/$host.ask" ] || {
    echo "tutti: mpiexec asks for node '$host', which is not in this gang" >&2
    exit 255
}
shift
# Both pipes are open in the roster: neither open blocks. The roster checks that process $$ holds the first one.
exec 3>"$folder/$host.ask" 4<"$folder/$host.end" || exit 255
printf '%s\n%s\000' "$$" "$*" >&3
read -r code <&4 || code=255
exit "${code:-255}"
