#!/usr/bin/env bash
# Makes what the compose files mount, in deploy/docker/files: secrets, Redis' configuration, and a certificate that signs itself, to
# try it. What is there already stays. For real use put your certificate (with its key) into files/mcp.example.com.pem.
set -euo pipefail
cd "$(dirname "$0")"

mkdir -p files
cd files
[ -f admin-token ] || openssl rand -hex 32 >admin-token
[ -f redis-password ] || openssl rand -hex 32 >redis-password
[ -f redis.conf ] || printf 'requirepass %s\nmaxmemory-policy noeviction\nappendonly yes\n' "$(cat redis-password)" >redis.conf
if [ ! -f mcp.example.com.pem ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=mcp.example.com \
        -addext subjectAltName=DNS:mcp.example.com,DNS:localhost -keyout key -out cert 2>/dev/null
    cat cert key >mcp.example.com.pem
    rm cert key
fi
# Each is read in a container by another user than yours: Moorline is 65532, HAProxy 99, Redis 999. The folder keeps others out.
chmod 700 .
chmod 644 ./*
