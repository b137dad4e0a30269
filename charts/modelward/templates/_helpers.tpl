{{- define "modelward.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* labels (dict "root" . "component" "operator") */ -}}
{{- define "modelward.labels" -}}
{{ include "modelward.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: modelward
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "modelward.selector" -}}
app.kubernetes.io/name: modelward
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* metadata (dict "root" . "component" "operator" "name" "modelward-operator" "annotations" (dict …)) */ -}}
{{- define "modelward.metadata" -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ default .root.Release.Namespace .namespace }}
{{- end }}
labels:
  {{- include "modelward.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* image (dict "root" . "image" .Values.operator.image) */ -}}
{{- define "modelward.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .root.Chart.AppVersion .image.tag }}{{ end }}
{{- end -}}

{{- define "modelward.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* The restricted Pod Security Standard, for the Pod and for each container. */ -}}
{{- define "modelward.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "modelward.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* Scheduling of a Pod: (dict "place" .Values.operator "selector" "…") */ -}}
{{- define "modelward.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "modelward.ledgerUrl" -}}
http://{{ include "modelward.fullname" . }}-ledger.{{ .Release.Namespace }}.svc:8090
{{- end -}}

{{- define "modelward.databaseSecret" -}}
{{- if .Values.database.existingSecret -}}
{{ .Values.database.existingSecret }}
{{- else if .Values.postgresql.enabled -}}
{{ include "modelward.fullname" . }}-database
{{- else -}}
{{ fail "postgresql.enabled is false: name a Secret with the keys url and migrate-url in database.existingSecret" }}
{{- end -}}
{{- end -}}

{{- define "modelward.ownDatabase" -}}
{{- if and .Values.postgresql.enabled (not .Values.database.existingSecret) }}true{{ end -}}
{{- end -}}

{{- define "modelward.localStore" -}}
{{- if eq .Values.ledger.store.url "local" }}true{{ end -}}
{{- end -}}

{{- /* Parts of NetworkPolicies. */ -}}
{{- define "modelward.dnsEgress" -}}
# DNS. The cluster's DNS server can run anywhere, so the rule has no peer.
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{- define "modelward.apiServerEgress" -}}
# The API server.
- to:
    {{- range .Values.networkPolicy.apiServer.cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end -}}

{{- /* Selects the namespaces of the models; used in a peer together with a podSelector. */ -}}
{{- define "modelward.modelNamespaces" -}}
{{- with .Values.operator.watchNamespace -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}
{{- else -}}
namespaceSelector: {}
{{- end -}}
{{- end -}}

{{- define "modelward.componentPeer" -}}
- podSelector:
    matchLabels:
      {{- include "modelward.selector" . | nindent 6 }}
{{- end -}}
