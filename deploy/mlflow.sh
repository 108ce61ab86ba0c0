#!/usr/bin/env bash
# MLflow beside the driver on the head: runs in PostgreSQL, artifacts in the object store, pages on 127.0.0.1:5000.
#
#   deploy/mlflow.sh [options of mlflow server]       for example --app-name basic-auth
#
# It stays in the foreground, and does nothing where it runs already. PostgreSQL listens on a socket in a folder of this
# user and on no port, and knows its user by the system: there is no password to keep.
#   AOT_STORAGE   where artifacts go (s3://BUCKET/FOLDER); else a folder beside the database
#   MLFLOW_PORT   instead of 5000
# With --app-name basic-auth, MLflow wants MLFLOW_AUTH_ADMIN_PASSWORD and MLFLOW_FLASK_SERVER_SECRET_KEY besides.
set -euo pipefail

home="$HOME/aot-search"
data="$home/postgres"
artifacts="${AOT_STORAGE:-$home}/mlflow-artifacts"
PATH="$PATH:$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)"

mkdir -p "$home"
exec 9> "$home/mlflow.lock"
if ! flock --nonblock 9; then
  echo "MLflow runs already; its log is in $home" >&2
  exit 0
fi

if [ ! -s "$data/PG_VERSION" ]; then
  initdb --pgdata="$data" --auth-local=peer --auth-host=reject --encoding=UTF8 > /dev/null
fi
chmod 700 "$data"  # PostgreSQL insists; a volume may have been given to a group on the way
if ! pg_ctl --pgdata="$data" status > /dev/null; then
  # Without the lock (9): the database outlives MLflow.
  pg_ctl --pgdata="$data" --log="$data/server.log" --wait start \
    --options="-c listen_addresses='' -c unix_socket_directories='$data'" > /dev/null 9>&-
fi
if ! psql --host="$data" --dbname=mlflow --command="" 2> /dev/null; then
  createdb --host="$data" mlflow
fi

export MLFLOW_BACKEND_STORE_URI="postgresql+psycopg:///mlflow?host=$data"
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
cd "$home"  # basic-auth keeps its users in a file where the server starts
exec mlflow server --host 127.0.0.1 --port "${MLFLOW_PORT:-5000}" --artifacts-destination "$artifacts" "$@"
