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
mkdir -p "$folder"
# One after the other: what a slow host has built by then it need not build again.
for name in "${needed[@]}"; do
  doing "test image of $name, from Debian's riscv64 packages"
  if timeout 300 node --conditions=stillpoint-source --no-warnings scripts/testImages/build.ts "$folder/layout" "$folder/packages" "$name" </dev/null >&2; then
    stamp "test-image-$name" "$inputs"
    finished "test image of $name"
  else
    finished "no test image of $name: see above"
  fi
done
