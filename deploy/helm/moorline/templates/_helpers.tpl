{{- define "moorline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 50 characters: names of objects add up to 13, and a label has 63 at most. */}}
{{- define "moorline.fullname" -}}
{{- $name := include "moorline.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "moorline.selector" -}}
app.kubernetes.io/name: {{ include "moorline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Pods of instances, and no others of the release. */}}
{{- define "moorline.podSelector" -}}
{{ include "moorline.selector" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "moorline.labels" -}}
{{ include "moorline.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: moorline
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "moorline.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "moorline.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "moorline.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "moorline.adminTokenSecret" -}}
{{- default (printf "%s-admin" (include "moorline.fullname" .)) .Values.secrets.adminToken.name -}}
{{- end -}}

{{- define "moorline.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 .Values.tls.enabled) -}}
{{- end -}}

{{- define "moorline.isShared" -}}
{{- if hasPrefix "redis" .Values.config.store.url }}yes{{ end -}}
{{- end -}}

{{/* A duration as Moorline writes it, in whole seconds, rounded up. */}}
{{- define "moorline.seconds" -}}
{{- $milliseconds := 0 -}}
{{- $units := dict "d" 86400000 "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- range regexFindAll "[0-9]+(ms|d|h|m|s)" . -1 -}}
{{- $count := regexFind "[0-9]+" . -}}
{{- $milliseconds = add $milliseconds (mul (int64 $count) (get $units (trimPrefix $count .))) -}}
{{- end -}}
{{- div (add $milliseconds 999) 1000 -}}
{{- end -}}

{{/* What cannot be said by the schema: which values do not go together. */}}
{{- define "moorline.judge" -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}
{{- if and $several (not (include "moorline.isShared" .)) -}}
{{- fail "several instances need a store that they share: set config.store.url to a Redis or Valkey (redis://…), or replicas to 1 and autoscaling.enabled to false" -}}
{{- end -}}
{{- if and .Values.tls.enabled (not .Values.tls.secretName) -}}
{{- fail "tls.enabled needs tls.secretName: the Secret with tls.crt and tls.key" -}}
{{- end -}}
{{- if and .Values.tls.certManager.enabled (not .Values.tls.enabled) -}}
{{- fail "tls.certManager.enabled needs tls.enabled" -}}
{{- end -}}
{{- if lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas) -}}
{{- fail "autoscaling.maxReplicas is less than autoscaling.minReplicas" -}}
{{- end -}}
{{- if and .Values.secrets.storeCa.name (not (hasPrefix "rediss" .Values.config.store.url)) -}}
{{- fail "secrets.storeCa is given, but config.store.url speaks no TLS: write rediss…, or leave it out" -}}
{{- end -}}
{{- if and .Values.secrets.storePassword.name (not (include "moorline.isShared" .)) -}}
{{- fail "secrets.storePassword is given, but config.store.url names no Redis or Valkey" -}}
{{- end -}}
{{- $drain := .Values.config.drain -}}
{{- if gt (int (include "moorline.seconds" $drain.notice)) (int (include "moorline.seconds" $drain.deadline)) -}}
{{- fail "config.drain.notice is longer than config.drain.deadline" -}}
{{- end -}}
{{- end -}}

{{/* The files below /etc/moorline/secrets: a list of secret, key and path. */}}
{{- define "moorline.secretFiles" -}}
{{- $files := list (dict "secret" (include "moorline.adminTokenSecret" .) "key" .Values.secrets.adminToken.key "path" "admin-token") -}}
{{- range $name, $path := dict "storePassword" "store-password" "storeCa" "store-ca.crt" "sealingKey" "sealing-key" -}}
{{- with index $.Values.secrets $name -}}
{{- if .name -}}
{{- $files = append $files (dict "secret" .name "key" .key "path" $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson (concat $files .Values.secrets.files) -}}
{{- end -}}
