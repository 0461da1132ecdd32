#!/usr/bin/env bash
# A real PostgreSQL 17 with pgvector for the tests, without containers.
#
#   .ci/postgres.sh start [name]   start a fresh server; the last line is MAHAVISHNU_TEST_PG_URL=...
#   .ci/postgres.sh stop [name]    stop it and remove its data
#   .ci/postgres.sh status [name]  print the URL of a running server, or fail
#
# The server comes from the first of these that works:
#   1. PostgreSQL 17 or newer with pgvector that the machine already has;
#   2. the package postgresql-17-pgvector, where this distribution offers it (root);
#   3. the same package of Debian 13 in a chroot made by debootstrap from the mirror that the
#      machine's own apt uses (root); the tree is cached and used again.
# It listens on loopback alone, trusts loopback, and keeps fsync on, so that durability is real.
# Exit status 3 says that this machine cannot provide a server; the reason is on standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# By default each clone has a server of its own, so that two of them can be checked at once.
readonly command=${1:-} name=${2:-clone-$(cksum <<<"$here" | cut -d' ' -f1)}
readonly cache=${MAHAVISHNU_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mahavishnu-ci}
readonly tree=$cache/debian-13-postgresql-17
readonly state=$cache/servers/$name
readonly suite=trixie package=postgresql-17-pgvector

say() { echo "postgres.sh: $*" >&2; }
unavailable() {
  say "$*"
  exit 3
}
is_root() { [ "$(id -u)" = 0 ]; }

# --- finding binaries ---------------------------------------------------------------------------

# Prints the bin directory of a PostgreSQL >= 17 with pgvector under the root $1, newest first.
find_bin() {
  local root=$1 major
  for major in 18 17; do
    if [ -x "$root/usr/lib/postgresql/$major/bin/postgres" ] &&
      [ -e "$root/usr/share/postgresql/$major/extension/vector.control" ]; then
      echo "/usr/lib/postgresql/$major/bin"
      return 0
    fi
  done
  return 1
}

# The same for a server that pg_config knows, as on other distributions and macOS.
find_bin_by_pg_config() {
  command -v pg_config >/dev/null || return 1
  local major bin
  bin=$(pg_config --bindir)
  major=$(pg_config --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
  [ "$major" -ge 17 ] && [ -x "$bin/postgres" ] &&
    [ -e "$(pg_config --sharedir)/extension/vector.control" ] && echo "$bin"
}

install_package() {
  is_root && command -v apt-get >/dev/null || return 1
  apt-cache show $package >/dev/null 2>&1 || return 1
  say "installing $package"
  # The package would otherwise make and start a server of its own that nobody here stops.
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $package >&2
}

# --- a chroot, where the distribution is older ----------------------------------------------------

# Prints the first of apt's own mirrors that carries the suite.
find_mirror() {
  local site probe
  probe=$(mktemp)
  for site in $(apt-get indextargets --format "\$(SITE)" "Created-By: Packages" | sort -u); do
    if /usr/lib/apt/apt-helper download-file "${site%/}/dists/$suite/InRelease" "$probe" \
      >/dev/null 2>&1; then
      rm -f "$probe"
      echo "${site%/}"
      return 0
    fi
  done
  rm -f "$probe"
  return 1
}

install_debootstrap() {
  command -v debootstrap >/dev/null && return 0
  say "installing debootstrap"
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap >&2 ||
    { apt-get update >&2 &&
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap >&2; }
}

make_tree() {
  if [ -e "$tree/.complete" ] && find_bin "$tree" >/dev/null &&
    chroot "$tree" "$(find_bin "$tree")/postgres" --version >/dev/null 2>&1; then
    return 0
  fi
  is_root || unavailable "no local PostgreSQL 17 with pgvector, and only root can make a chroot"
  command -v apt-get >/dev/null || unavailable "no local PostgreSQL 17 with pgvector, and no apt"
  install_debootstrap || unavailable "debootstrap cannot be installed"
  local mirror proxy=""
  mirror=$(find_mirror) || unavailable "none of apt's mirrors carries Debian $suite"
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [ -z "$proxy" ] || export http_proxy=$proxy
  say "making a Debian $suite tree with $package (once, about a minute)"
  # Built beside and moved into place, so that a broken half is never taken for a whole.
  local building
  building=$(mktemp -d "$cache/building.XXXXXX")
  if ! debootstrap --variant=minbase "--include=$package,ca-certificates" \
    "$suite" "$building" "$mirror" >"$cache/debootstrap.log" 2>&1; then
    tail -n 20 "$cache/debootstrap.log" >&2
    rm -rf --one-file-system "$building"
    unavailable "debootstrap failed; its log is $cache/debootstrap.log"
  fi
  rm -f "$building"/var/cache/apt/archives/*.deb
  chmod 755 "$building"
  touch "$building/.complete"
  rm -rf --one-file-system "$tree"
  mv "$building" "$tree"
}

# --- running a server -----------------------------------------------------------------------------

# Runs a command as the server's user: in the tree when root_dir is set, else on this machine.
# In the tree /proc and /dev are bound inside a mount namespace of the server's own, so that the
# mounts end with its last process even when everything is killed.
as_server_user() {
  if [ -n "$root_dir" ]; then
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation private sh -c '
      root=$1 && shift
      mount --bind /proc "$root/proc" && mount --rbind /dev "$root/dev" &&
        exec chroot --userspec=postgres:postgres "$root" "$@"' sh "$root_dir" "$@"
  elif is_root; then
    (cd / && exec runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

free_port() {
  local port
  for _ in $(seq 50); do
    port=$((20000 + RANDOM % 12000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return 0
    fi
  done
  return 1
}

read_state() {
  pid="" started="" url="" data=""
  [ -r "$state" ] || return 1
  # shellcheck disable=SC1090 # written below, by this file alone
  . "$state"
}

# Whether the recorded server lives: the pid alone may have been given to another program.
alive() {
  [ -n "$pid" ] && [ "$(process_start "$pid")" = "$started" ]
}

# When a process started; nothing for one that is dead, a zombie included.
process_start() {
  if [ -d /proc/self ]; then
    sed -E 's/^.*\) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
  else
    ps -o stat=,lstart= -p "$1" | awk '$1 !~ /^Z/ { $1 = ""; gsub(/ /, "_"); print }'
  fi
}

start() {
  if read_state && alive; then
    say "$name already runs"
    echo "MAHAVISHNU_TEST_PG_URL=$url"
    return 0
  fi
  stop # what a killed run left behind
  mkdir -p "$cache/servers"

  root_dir="" bin=""
  if ! { bin=$(find_bin "") || bin=$(find_bin_by_pg_config) ||
    { install_package && bin=$(find_bin ""); }; }; then
    # One at a time: two checks on a new machine would otherwise both build the tree.
    exec 9>"$cache/tree.lock"
    flock 9
    make_tree
    exec 9>&-
    root_dir=$tree
    bin=$(find_bin "$tree")
  fi

  # Paths as the server sees them; a home directory may be closed to its user, /tmp is not.
  local data port attempt
  if [ -n "$root_dir" ]; then
    mkdir -p "$root_dir/srv/servers"
    chmod 1777 "$root_dir/srv/servers"
    data=$(mktemp -d "$root_dir/srv/servers/$name.XXXXXX")
    chroot "$root_dir" chown postgres:postgres "${data#"$root_dir"}"
  else
    data=$(mktemp -d "${TMPDIR:-/tmp}/mahavishnu-pg.XXXXXX")
    if is_root; then chown postgres "$data"; fi
  fi
  local inside=${data#"$root_dir"}
  as_server_user "$bin/initdb" -D "$inside" -U postgres --auth=trust --encoding=UTF8 \
    --locale=C.UTF-8 >"$data.log" 2>&1 || {
    tail -n 20 "$data.log" >&2
    rm -rf --one-file-system "$data" "$data.log"
    unavailable "initdb failed"
  }
  for attempt in 1 2 3; do
    port=$(free_port) || unavailable "no free port"
    if as_server_user "$bin/pg_ctl" -D "$inside" -w -t 60 -l "$inside/server.log" -o "-p $port \
      -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=300 \
      -c shared_buffers=256MB -c fsync=on -c log_checkpoints=off -c timezone=UTC" \
      start >>"$data.log" 2>&1 9>&-; then
      pid=$(head -n 1 "$data/postmaster.pid")
      url=postgres://postgres@127.0.0.1:$port/postgres
      printf 'pid=%q\nstarted=%q\nurl=%q\ndata=%q\n' \
        "$pid" "$(process_start "$pid")" "$url" "$data" >"$state"
      say "$(as_server_user "$bin/postgres" --version) listens on port $port"
      echo "MAHAVISHNU_TEST_PG_URL=$url"
      return 0
    fi
    say "start failed on port $port (attempt $attempt)"
  done
  tail -n 20 "$data/server.log" >&2 || true
  rm -rf --one-file-system "$data" "$data.log"
  unavailable "the server does not start"
}

stop() {
  read_state || return 0
  if alive; then
    kill -INT "$pid" # fast shutdown: roll back what is open, write a checkpoint, exit
    for _ in $(seq 300); do
      alive || break
      sleep 0.1
    done
    if alive; then
      say "$name does not stop; ending it at once"
      kill -QUIT "$pid"
      sleep 2
      ! alive || kill -KILL "$pid"
    fi
  fi
  rm -rf --one-file-system "${data:?}" "${data:?}.log" "$state"
}

case $command in
  start) start ;;
  stop) stop ;;
  status) read_state && alive && echo "MAHAVISHNU_TEST_PG_URL=$url" ;;
  *)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
