#!/usr/bin/env bash
# Run a command as an ordinary user of the lab, on this machine: as_user.sh USER COMMAND...
# A python in root's closed home is opened for it, in a mount namespace of its own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

if [ "${1:-}" != inside ]; then exec unshare --mount "$here/as_user.sh" inside "$@"; fi
user=$2
shift 2
open_to_users "$(cd "$here/../../.." && pwd)"
export HOME=$(getent passwd $user | cut -d: -f6) USER=$user LOGNAME=$user
# Without the folders for administrators, as on many sites.
PATH=$(tr : '\n' <<< "$PATH" | grep -vx '.*/sbin' | paste -sd :)
cd "$PWD"  # the folder that is there now
exec setpriv --reuid=$user --regid=$user --init-groups "$@"
