#!/usr/bin/env bash
# Rankscope's cluster 'rankscope', made by `sweep cluster render compose`. Change the description and render
# it again rather than this file.
#
# Makes ./secrets with what compose.yaml reads: random, once, and never printed. What is there is left as it is.
# The folder is closed to everyone else; its files are readable in it, because containers have users of their own.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
chmod 0700 secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# keep FILE: its input, unless the file is there.
keep() {
  if [ -e "secrets/$1" ]; then
    cat >/dev/null
  else
    cat >"secrets/$1"
    chmod 0444 "secrets/$1"
  fi
}

random | keep ray_auth_token
random | keep postgres_password
random | keep mlflow_admin_password
random | keep mlflow_session_key
printf 'root-%s\n' "$(random)" | keep minio_root_user
printf '%s\n' "$(random)" | keep minio_root_password
printf 'sweeps\n%s\n' "$(random)" | keep s3_user

{ read -r name; read -r key; } <secrets/s3_user
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$name" "$key" | keep s3_credentials
printf '[mlflow]\nmlflow_tracking_username = admin\nmlflow_tracking_password = %s\n' \
  "$(cat secrets/mlflow_admin_password)" | keep mlflow_credentials

echo "secrets/ is ready. MLflow's user is admin, its password in secrets/mlflow_admin_password."
echo "For your own ray and sweep commands: export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$PWD/secrets/ray_auth_token"
