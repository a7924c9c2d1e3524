#!/bin/bash
# Installs the Debian packages of tests/parts.txt whose command (or file) is missing; does nothing when all are there.
# Without the right to install it prints the line to type and goes on: tests then skip, and say why.
set -euo pipefail

missing=()
while read -r command package; do
    [[ -z $command || $command == \#* ]] && continue
    command -v "$command" >/dev/null || [[ -e $command ]] || missing+=("$package")
done <"$(dirname "$0")/parts.txt"

[[ ${#missing[@]} -eq 0 ]] && exit 0

if [[ $(id -u) -eq 0 ]]; then
    as_root=(env)
elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n env)
else
    echo "Some tests will be skipped. To run them too, first type:" >&2
    echo "  sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 0
fi

apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
# Two lists at once get in each other's way; an older list still serves.
"${apt[@]}" update || echo "apt-get update failed; going on with the lists that are there" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}"
