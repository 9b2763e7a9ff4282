#!/usr/bin/env bash
# Builds the guests of `make kvm` into .cache/kvm, once for what they are made of: Debian's amd64 cloud kernel as it is and
# unpacked, and a root for each of the two guests. Prints the folder. Nothing of it needs root.
. "$(dirname "$0")/../setup/progress.sh"
cd "$root"

here=scripts/kvm
folder="$root/.cache/kvm/$(cat "$here/packages.lock" "$here/guests.sh" "$here"/*.init | sha256sum | cut -c1-16)"
if [ -f "$folder/complete" ]; then echo "$folder" && exit 0; fi

packages="$root/.cache/kvm/packages" work="$(mktemp -d "$root/.cache/kvm-guests.XXXXXX")"
trap 'rm -rf "$work"' EXIT
mkdir -p "$packages"

# fetch DIGEST BYTES PATH: a package, from the archive or, once that has dropped it, from what keeps it.
fetch() {
  local target="$packages/$1.deb"
  echo "$1  $target" | sha256sum --check --status 2>/dev/null && return 0
  doing "fetching ${3##*/} ($(($2 >> 20)) MiB once)"
  local from
  for from in http://deb.debian.org/debian https://snapshot.debian.org/archive/debian/20260915T000000Z; do
    curl -fsSL --retry 2 --max-filesize "$2" -o "$target.part" "$from/$3" 2>>"$root/.cache/kvm.log" || continue
    echo "$1  $target.part" | sha256sum --check --status || continue
    mv "$target.part" "$target"
    return 0
  done
  echo "the package ${3##*/} with digest $1 is to be had neither from the archive nor from snapshot.debian.org" >&2
  return 1
}

while read -r digest bytes path; do
  case "$digest" in '#'* | '') continue ;; esac
  fetch "$digest" "$bytes" "$path"
  dpkg-deb -x "$packages/$digest.deb" "$work/debian"
done <"$here/packages.lock"
busybox="$work/debian/usr/bin/busybox"
kernel="$(echo "$work"/debian/boot/vmlinuz-*)"
modules="$(echo "$work"/debian/usr/lib/modules/*/kernel)"

# root_of NAME MODULES…: a root with busybox, these modules at /modules in this order, and NAME.init.
root_of() {
  local name="$1" number=10 module
  shift
  mkdir -p "$work/$name"/{bin,dev,proc,sys,tmp,modules}
  cp "$busybox" "$work/$name/bin/busybox"
  for module in "$@"; do
    number=$((number + 1))
    xz -dc "$modules/$module.ko.xz" >"$work/$name/modules/$number-${module##*/}.ko"
  done
  install -m 755 "$here/$name.init" "$work/$name/init"
  (cd "$work/$name" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$work/made/$name.cpio"
}

# The kernel inside the image that unpacks itself: offset and length are in its header, the last four bytes are its size.
number_at() { od -An -t "u$2" -j "$1" -N "$2" "$kernel" | tr -d ' '; }
unpack() {
  local sectors offset length
  sectors="$(number_at $((0x1f1)) 1)" offset="$(number_at $((0x248)) 4)" length="$(number_at $((0x24c)) 4)"
  # `head` first: one that ends before its input does fails the pipe.
  head -c "$(((sectors + 1) * 512 + offset + length - 4))" "$kernel" | tail -c "$((length - 4))" | zstd -dq
}

mkdir -p "$work/made"
root_of inner drivers/virtio/virtio_mmio drivers/char/hw_random/virtio-rng
root_of outer virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd
cp "$busybox" "$kernel" "$work/made/"
mv "$work"/made/vmlinuz-* "$work/made/bzImage"
unpack >"$work/made/vmlinux"
touch "$work/made/complete"
rm -rf "$folder"
mv "$work/made" "$folder"
finished "guests for make kvm"
echo "$folder"
