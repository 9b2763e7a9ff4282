#!/usr/bin/env bash
# Installs Debian's Chromium, in which reports are looked at by their tests. `--optional`: its absence is said, and the tests say
# that they are skipped.
. "$(dirname "$0")/progress.sh"

has() { command -v "$1" >/dev/null; }

if has chromium; then exit 0; fi
if [ "${1-}" = --optional ] && [ -f "$stamps/chromium-refused" ]; then exit 0; fi
doing "installing Chromium, which the tests of reports use (Debian package)"
command="sudo apt-get update && sudo apt-get install -y --no-install-recommends chromium"
if apt_install chromium && has chromium; then
  finished "Chromium"
elif [ "${1-}" = --optional ]; then
  touch "$stamps/chromium-refused"
  finished "no Chromium here: the tests of reports in a browser will say skipped ($command)"
else
  missing "chromium" "$command"
fi
