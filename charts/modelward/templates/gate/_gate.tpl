{{- /* Parts that several policies share. */ -}}

{{- /* metadata of a cluster-wide object of the gate, whose name the operator knows: (dict "root" . "name" "…") */ -}}
{{- define "modelward.gate.metadata" -}}
{{- include "modelward.metadata" (dict "root" .root "component" "gate" "cluster" true "name" .name) -}}
{{- end -}}

{{- define "modelward.gate.parameters" -}}
{{ include "modelward.fullname" . }}-gate
{{- end -}}

{{- define "modelward.gate.me" -}}
- name: me
  expression: request.userInfo.username
{{- end -}}

{{- /* Kubernetes' own: they delete what lost its owner or its namespace, and nothing else. */ -}}
{{- define "modelward.gate.collector" -}}
- name: isCollector
  expression: >-
    variables.me in ['system:serviceaccount:kube-system:generic-garbage-collector',
    'system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager']
{{- end -}}

{{- define "modelward.gate.operator" -}}
- name: operators
  expression: >-
    request.namespace in params.data ? params.data[request.namespace] : ('_others' in params.data ? params.data['_others'] : '')
- name: isOperator
  expression: variables.operators.split(',').exists(o, o == variables.me)
{{- end -}}

{{- define "modelward.gate.kept" -}}
- name: ownersKept
  expression: >-
    (object != null && has(object.metadata.ownerReferences) ? object.metadata.ownerReferences : [])
    == (oldObject != null && has(oldObject.metadata.ownerReferences) ? oldObject.metadata.ownerReferences : [])
- name: finalizersKept
  expression: >-
    (object != null && has(object.metadata.finalizers) ? object.metadata.finalizers : [])
    == (oldObject != null && has(oldObject.metadata.finalizers) ? oldObject.metadata.finalizers : [])
{{- end -}}

{{- define "modelward.gate.annotations" -}}
- name: after
  expression: "object != null && has(object.metadata.annotations) ? object.metadata.annotations : {}"
- name: before
  expression: "oldObject != null && has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {}"
{{- end -}}

{{- /* a binding of the policy's own name: (dict "root" . "name" "…" "parameters" true) */ -}}
{{- define "modelward.gate.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "modelward.gate.metadata" . | nindent 2 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny, Audit]
  # Everywhere. Said, and not left out: an upgrade puts back what somebody narrowed.
  matchResources: {namespaceSelector: {}, objectSelector: {}, resourceRules: [], excludeResourceRules: []}
  {{- if .parameters }}
  paramRef:
    name: {{ include "modelward.gate.parameters" .root }}
    namespace: {{ .root.Release.Namespace }}
    parameterNotFoundAction: Deny
  {{- end }}
{{- end -}}
