# Shared by the set-up steps: what a step says, when it counts as done, and how it ends when something is missing.
# Sourced, not executed.

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
tools="$root/.tools"
stamps="$root/.cache/stamps"
mkdir -p "$tools" "$stamps"
export PATH="$tools/node/bin:$PATH"
# The certificates that the system trusts count for npm and pnpm too: many networks have one of their own.
export NODE_USE_SYSTEM_CA=1
# And the proxies that the environment names (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) count for Node's own downloads.
export NODE_USE_ENV_PROXY=1

# doing WHAT: one line that says what takes time now.
doing() { printf '  … %s\n' "$*" >&2; }

# finished WHAT: one line at the end of work that was really done.
finished() { printf '  ✓ %s\n' "$*" >&2; }

# missing WHAT COMMAND: ends the step, naming what is missing and the command that installs it.
missing() {
  printf '\nmissing: %s\ninstall it with:\n\n    %s\n\n' "$1" "$2" >&2
  exit 1
}

# digest_of FILES…: one digest over the content of files; absent ones count as empty.
digest_of() {
  local file
  for file in "$@"; do
    printf '%s ' "${file#"$root"/}"
    if [ -f "$file" ]; then cksum <"$file"; else echo absent; fi
  done | cksum | tr ' ' '-'
}

# is_stamped NAME DIGEST: whether the step NAME was done for these inputs.
is_stamped() { [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$2" ]; }

# stamp NAME DIGEST: the step NAME is done for these inputs.
stamp() { printf '%s' "$2" >"$stamps/$1"; }

# as_root COMMAND…: runs it as root, with sudo where needed; fails without asking for anything.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    command -v sudo >/dev/null && sudo -n "$@"
  fi
}

# apt_install PACKAGES…: installs Debian packages; fails without asking for anything. Options of apt-get may stand before them.
apt_install() {
  command -v apt-get >/dev/null && as_root true 2>/dev/null || return 1
  local log="$root/.cache/apt.log" options=()
  while [ "${1#-}" != "$1" ]; do options+=("$1") && shift; done
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y --no-install-recommends "$@")
  if ! as_root "${install[@]}" >"$log" 2>&1 </dev/null; then
    doing "package lists are missing or old: apt-get update"
    as_root apt-get "${options[@]}" update >>"$log" 2>&1 </dev/null || { tail -n 5 "$log" >&2; return 1; }
    as_root "${install[@]}" >>"$log" 2>&1 </dev/null || { tail -n 5 "$log" >&2; return 1; }
  fi
}
