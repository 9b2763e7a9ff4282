#!/usr/bin/env bash
# test-images.sh NAME…: builds OCI images of real software from Debian's riscv64 packages into .cache/test-images/layout,
# once. Where its tools are missing, or the archive does not answer, it says so: what needs the images says skipped.
. "$(dirname "$0")/progress.sh"
cd "$root"

inputs="$(digest_of scripts/testImages/*.ts)"
folder=.cache/test-images
needed=()
for name in "$@"; do is_stamped "test-image-$name" "$inputs" && [ -f "$folder/layout/index.json" ] || needed+=("$name"); done
if [ "${#needed[@]}" = 0 ]; then exit 0; fi
if ! command -v umoci >/dev/null || ! command -v dpkg-deb >/dev/null; then
  finished "no test images: umoci and dpkg-deb build them (scripts/setup/image-tools.sh)"
  exit 0
fi
doing "test images of ${needed[*]}, from Debian's riscv64 packages"
mkdir -p "$folder"
if timeout 300 node --conditions=stillpoint-source --no-warnings scripts/testImages/build.ts "$folder/layout" "$folder/packages" "${needed[@]}" </dev/null >&2; then
  for name in "${needed[@]}"; do stamp "test-image-$name" "$inputs"; done
  finished "test images of ${needed[*]}"
else
  finished "no test images of ${needed[*]}: see above"
fi
