{{/* The ports in a URL, as a JSON list: each of its hosts (there may be several, with commas between) has one. */}}
{{- define "moorline.portsOf" -}}
{{- $scheme := regexFind "^[a-z0-9+]+" . -}}
{{- $preset := 80 -}}
{{- if hasPrefix "redis" $scheme -}}
{{- $preset = ternary 26379 6379 (contains "sentinel" $scheme) -}}
{{- else if hasSuffix "https" $scheme -}}
{{- $preset = 443 -}}
{{- end -}}
{{- $ports := list -}}
{{- $rest := trimPrefix (printf "%s://" $scheme) . -}}
{{- $hosts := regexFind "^[^/?#]*" $rest | splitList "@" | last -}}
{{- range splitList "," $hosts -}}
{{- $port := regexFind ":[0-9]+$" . | trimPrefix ":" -}}
{{- $ports = append $ports (ternary $preset (int $port) (empty $port)) -}}
{{- end -}}
{{- if contains "sentinel" $scheme -}}
{{- $ports = append $ports 6379 -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* Ports of the pools' backends. */}}
{{- define "moorline.backendPorts" -}}
{{- $ports := list -}}
{{- range .Values.config.pool -}}
{{- range .backends -}}
{{- $url := . -}}
{{- if kindIs "map" . }}{{ $url = .url }}{{ end -}}
{{- $ports = concat $ports (include "moorline.portsOf" $url | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- toJson ($ports | uniq) -}}
{{- end -}}

{{/* Ports of whatever else is asked: issuers of tokens, and where traces go. */}}
{{- define "moorline.otherPorts" -}}
{{- $ports := list -}}
{{- $auths := list (default dict .Values.config.auth) -}}
{{- range .Values.config.pool }}{{ $auths = append $auths (default dict .auth) }}{{ end -}}
{{- range $auths -}}
{{- range (default list .issuer) -}}
{{- $at := default .issuer .jwks -}}
{{- if contains "://" $at }}{{ $ports = concat $ports (include "moorline.portsOf" $at | fromJsonArray) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- with (default dict .Values.config.traces).endpoint }}{{ $ports = concat $ports (include "moorline.portsOf" . | fromJsonArray) }}{{ end -}}
{{- toJson ($ports | uniq) -}}
{{- end -}}

{{- define "moorline.tcp" -}}
{{- range . }}
- protocol: TCP
  port: {{ int . }}
{{- end }}
{{- end -}}
