#!/usr/bin/env bash
# Installs Debian's QEMU: the peer of the benchmarks and of the differential tests, or, with `--x86`, the machine in which
# KVM is emulated. What is missing of it only, from the release that fits what is there already. `--optional`: its
# absence is said, and what needs it is skipped by name.
. "$(dirname "$0")/progress.sh"

is_x86='' is_optional=''
for argument in "$@"; do
  case "$argument" in --x86) is_x86=1 ;; --optional) is_optional=1 ;; esac
done
refused="$stamps/qemu${is_x86:+-x86}-refused"

has() { command -v "$1" >/dev/null; }
has_qemu() {
  if [ -n "$is_x86" ]; then has qemu-system-x86_64; else has qemu-system-riscv64 && has qemu-riscv64 && has qemu-img; fi
}

# missing_packages SYSTEM: the packages of the commands that are not there; SYSTEM holds the system emulator.
missing_packages() {
  if [ -n "$is_x86" ]; then echo qemu-system-x86 && return; fi
  has qemu-system-riscv64 || echo "$1"
  has qemu-riscv64 || echo qemu-user
  has qemu-img || echo qemu-utils
}

# The package that holds qemu-system-riscv64: its own from QEMU 9.2 on, one for many boards before.
system_package() {
  if apt-cache "$@" show qemu-system-riscv >/dev/null 2>&1; then echo qemu-system-riscv; else echo qemu-system-misc; fi
}

# From the release that the system's package sources name.
install_from_system() {
  # shellcheck disable=SC2046 # a list of package names
  apt_install $(missing_packages "$(system_package)")
}

# The backports suite that installed QEMU packages came from, for instance bookworm-backports; nothing where there is none.
backports_in_use() {
  dpkg-query -W -f '${Version} ${db:Status-Status}\n' 'qemu-*' 2>/dev/null | grep -q '~bpo.* installed$' || return 0
  (. /etc/os-release && printf '%s-backports' "${VERSION_CODENAME:-}")
}

# All QEMU packages must be of one version. Where some came from backports, the rest does too; the system's own list of
# package sources stays as it is.
install_from_backports() {
  local suite="$1" apt="$root/.cache/apt" keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f "$keyring" ] || return 1
  mkdir -p "$apt/sources" "$apt/lists/partial"
  cp /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list "$apt/sources/" 2>/dev/null || true
  cp /etc/apt/sources.list "$apt/sources/system.list" 2>/dev/null || true
  printf 'Types: deb\nURIs: http://deb.debian.org/debian\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$suite" "$keyring" \
    >"$apt/sources/backports.sources"
  local options=(-oDir::Etc::sourcelist=/dev/null "-oDir::Etc::sourceparts=$apt/sources" "-oDir::State::lists=$apt/lists"
    -oDir::Cache::pkgcache= -oDir::Cache::srcpkgcache= "-oAPT::Default-Release=$suite")
  as_root apt-get "${options[@]}" update >"$root/.cache/apt.log" 2>&1 </dev/null || { tail -n 5 "$root/.cache/apt.log" >&2; return 1; }
  # shellcheck disable=SC2046 # a list of package names
  apt_install "${options[@]}" $(missing_packages "$(system_package "${options[@]}")")
}

install_qemu() {
  local suite
  suite="$(backports_in_use)"
  if [ -n "$suite" ]; then install_from_backports "$suite"; else install_from_system; fi
}

if has_qemu; then exit 0; fi
if [ -n "$is_optional" ] && [ -f "$refused" ]; then exit 0; fi
doing "installing QEMU for $([ -n "$is_x86" ] && echo x86 || echo RISC-V) (Debian packages)"
command="sudo apt-get update && sudo apt-get install -y $(missing_packages "$(system_package)" | xargs)"
if install_qemu && has_qemu; then
  finished "$("qemu-system-$([ -n "$is_x86" ] && echo x86_64 || echo riscv64)" --version | head -n 1)"
elif [ -n "$is_optional" ]; then
  touch "$refused"
  finished "no QEMU here: what compares with it will say skipped ($command)"
else
  missing "$([ -n "$is_x86" ] && echo qemu-system-x86_64 || echo "qemu-system-riscv64, qemu-riscv64 and qemu-img")" "$command"
fi
