{{/* Helm's own toToml writes whole numbers from values as floats, which Moorline refuses; this writes them as they are. */}}

{{- define "toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end -}}
{{- end -}}

{{/* A value on one line. */}}
{{- define "toml.value" -}}
{{- if kindIs "string" . -}}
{{- toRawJson . | replace "\x7f" "\\u007f" -}}
{{- else if kindIs "bool" . -}}
{{- . -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . }}{{ $items = append $items (include "toml.value" .) }}{{ end -}}
[{{ join ", " $items }}]
{{- else if kindIs "map" . -}}
{{- $items := list -}}
{{- range $key, $value := . }}{{ $items = append $items (printf "%s = %s" (include "toml.key" $key) (include "toml.value" $value)) }}{{ end -}}
{ {{ join ", " $items }} }
{{- else if eq (float64 (int64 .)) (float64 .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Whether a value is a list of tables. */}}
{{- define "toml.isTables" -}}
{{- if kindIs "slice" . }}{{ if . }}{{ if kindIs "map" (first .) }}yes{{ end }}{{ end }}{{ end -}}
{{- end -}}

{{/* A table's own keys, then those of the tables in it; `at` is its name. In lists of backends and the like a table stands in braces. */}}
{{- define "toml.table" -}}
{{- $at := .at -}}
{{- range $key, $value := .table }}
{{- if or (kindIs "invalid" $value) (kindIs "map" $value) (and (include "toml.isTables" $value) (ne $key "backends")) }}{{ else }}
{{ include "toml.key" $key }} = {{ include "toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key, $value := .table }}
{{- $name := ternary (include "toml.key" $key) (printf "%s.%s" $at (include "toml.key" $key)) (empty $at) }}
{{- if kindIs "map" $value }}

[{{ $name }}]
{{- include "toml.table" (dict "at" $name "table" $value) }}
{{- else if and (include "toml.isTables" $value) (ne $key "backends") }}
{{- range $value }}

[[{{ $name }}]]
{{- include "toml.table" (dict "at" $name "table" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The configuration: what `config` says, and what follows from the other values. */}}
{{- define "moorline.toml" -}}
{{- $config := deepCopy .Values.config -}}
{{- $listen := dict "addr" (printf "%s:%d" .Values.listener.address (int .Values.listener.port)) "tls" .Values.tls.enabled -}}
{{- if .Values.listener.proxyProtocol }}{{ $_ := set $listen "proxy_protocol" true }}{{ end -}}
{{- $_ := set $config "listen" (list $listen) -}}
{{- $_ := set $config "admin" (printf "%s:%d" .Values.admin.address (int .Values.admin.port)) -}}
{{- $_ := set $config "admin_token_file" "/etc/moorline/secrets/admin-token" -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $config "tls" (merge (dict "cert_file" "/etc/moorline/tls/tls.crt" "key_file" "/etc/moorline/tls/tls.key") (default dict $config.tls)) -}}
{{- end -}}
{{- with .Values.secrets -}}
{{- if .storePassword.name }}{{ $_ := set $config.store "password_file" "/etc/moorline/secrets/store-password" }}{{ end -}}
{{- if .storeCa.name }}{{ $_ := set $config.store "ca_file" "/etc/moorline/secrets/store-ca.crt" }}{{ end -}}
{{- if .sealingKey.name }}{{ $_ := set $config.store "sealing_key_file" "/etc/moorline/secrets/sealing-key" }}{{ end -}}
{{- end -}}
{{- include "toml.table" (dict "at" "" "table" $config) | trim -}}
{{- end -}}

{{/* What is in force only after a restart (docs/configuration.md, Reload): where it changes, Pods are replaced. Everything else is taken over by
running instances when the kubelet has put the new ConfigMap in place. */}}
{{- define "moorline.restartConfig" -}}
{{- $config := fromToml (include "moorline.toml" .) -}}
{{- $kept := pick $config "listen" "admin" "admin_token_file" "threads" "instance" "store" "metrics" -}}
{{- $_ := set $kept "results" (pick (default dict $config.results) "memory" "shared" "compress") -}}
{{- $_ := set $kept "log" (pick (default dict $config.log) "format") -}}
{{- $_ := set $kept "bounds" (pick (default dict $config.bounds) "header_timeout" "idle_timeout" "first_byte_timeout" "max_requests_per_connection" "max_streams_per_connection" "write_timeout") -}}
{{- toJson $kept -}}
{{- end -}}
