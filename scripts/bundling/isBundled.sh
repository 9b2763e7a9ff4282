# Sourced by what bundles the command line and by what starts it.

# is_bundled ROOT: whether the command line of a checkout is bundled, and of its sources as they stand.
is_bundled() {
  [ -z "$(find "$1"/packages/*/src "$1/pnpm-lock.yaml" "$1/scripts/bundling" \
    -newer "$1/packages/stillpoint/whole/main.js" -print -quit 2>&1)" ]
}
