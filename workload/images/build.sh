#!/usr/bin/env bash
# Builds the image's targets (default: runtime) as tutti:TARGET with the Docker engine at hand, and prints their sizes.
#
#   BASE=debian:bookworm-slim@sha256:...   another base
#   BUILD_CA=/path/ca.crt                  a certificate authority for the build alone (it stays out of the image)
#   BUILD_NETWORK=host                     the network that the build uses
#   DOCKER=/usr/bin/docker                 the client
set -euo pipefail
cd "$(dirname "$0")/../.."
docker=${DOCKER:-docker}

if ! command -v "$docker" >/dev/null; then
  echo "make image needs a Docker client, and there is no '$docker' here. Install Docker, or name one: DOCKER=podman make image" >&2
  exit 1
fi
if ! "$docker" info >/dev/null 2>&1; then
  echo "make image needs a Docker engine, and none answers '$docker info'. Start one, or set DOCKER_HOST." >&2
  exit 1
fi
options=()
[ -z "${BASE:-}" ] || options+=(--build-arg "BASE=$BASE")
[ -z "${BUILD_CA:-}" ] || options+=(--secret "id=ca,src=$BUILD_CA")
[ -z "${BUILD_NETWORK:-}" ] || options+=(--network "$BUILD_NETWORK")
for target in "${@:-runtime}"; do
  DOCKER_BUILDKIT=1 "$docker" build "${options[@]}" -f workload/images/Dockerfile --target "$target" -t "tutti:$target" .
done
for target in "${@:-runtime}"; do
  "$docker" image inspect --format "tutti:$target {{.Size}} {{.Os}}/{{.Architecture}}" "tutti:$target" |
    awk '{printf "%-14s %6.0f MB  %s\n", $1, $2 / 1e6, $3}'
  "$docker" history --format '{{.Size}}|{{.CreatedBy}}' "tutti:$target" | awk -F'|' '$1 != "0B" {printf "  %-10s %.66s\n", $1, $2}'
done
