#!/usr/bin/env bash
# Installs the independent tools that images are compared with, erofs-utils, umoci, skopeo and docker-registry of Debian, and
# the clients that servers in guests are asked with, redis-tools and apache2-utils.
# `--optional`: their absence is said, and what needs them is skipped by name.
. "$(dirname "$0")/progress.sh"

has() { command -v "$1" >/dev/null; }

# missing_packages: the packages of the commands that are not there.
missing_packages() {
  { has fsck.erofs && has mkfs.erofs; } || echo erofs-utils
  has umoci || echo umoci
  has skopeo || echo skopeo
  has docker-registry || echo docker-registry
  has redis-benchmark || echo redis-tools
  has ab || echo apache2-utils
}

needed="$(missing_packages | xargs)"
if [ -z "$needed" ]; then exit 0; fi
if [ "${1-}" = --optional ] && [ -f "$stamps/image-tools-refused" ]; then exit 0; fi
doing "installing the tools and clients that images are tried with (Debian packages: $needed)"
command="sudo apt-get update && sudo apt-get install -y --no-install-recommends $needed"
# A registry is started by the tests that need one, never by the system.
# shellcheck disable=SC2086 # a list of package names
if apt_install -oDpkg::Options::=--force-confold $needed && [ -z "$(missing_packages)" ]; then
  finished "$(fsck.erofs -V 2>&1 | head -n 1), $(umoci --version), $(skopeo --version)"
elif [ "${1-}" = --optional ]; then
  touch "$stamps/image-tools-refused"
  finished "without $needed: what compares with it will say skipped ($command)"
else
  missing "$needed" "$command"
fi
