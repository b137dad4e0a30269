#!/bin/bash
# Makes the database at the first start, then becomes the server. The data directory gets its name last, so a first
# start that was cut short begins again; $PGDATA must therefore lie below the volume, not be its root.
set -Eeuo pipefail
shopt -s inherit_errexit
trap 'echo "failed: ${BASH_SOURCE[0]} line $LINENO: \`$BASH_COMMAND\` ended with exit status $?" >&2' ERR
[ "${1:-}" = postgres ] || exec "$@"
if [ ! -d "$PGDATA" ]; then
  user=${POSTGRES_USER:-postgres}
  new=$PGDATA.new
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
    password=$(cat "$POSTGRES_PASSWORD_FILE")
  else
    password=${POSTGRES_PASSWORD:-}
  fi
  [ -n "$password" ] || {
    echo "set POSTGRES_PASSWORD_FILE or POSTGRES_PASSWORD" >&2
    exit 1
  }
  rm -rf "$new"
  initdb --username="$user" --pwfile=<(printf '%s\n' "$password") --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 -D "$new" >/dev/null
  echo "host all all all scram-sha-256" >>"$new/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$new/postgresql.conf"
  pg_ctl -D "$new" -w start -o "-c listen_addresses=''" >/dev/null
  export POSTGRES_USER=$user POSTGRES_DB=${POSTGRES_DB:-$user}
  if [ "$POSTGRES_DB" != postgres ]; then
    psql --username "$user" --dbname postgres -v ON_ERROR_STOP=1 -v name="$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) "$file" ;;
      *.sql) psql --username "$user" --dbname "$POSTGRES_DB" -v ON_ERROR_STOP=1 -f "$file" ;;
    esac
  done
  pg_ctl -D "$new" -w -m fast stop >/dev/null
  mv "$new" "$PGDATA"
fi
exec "$@" -D "$PGDATA"
