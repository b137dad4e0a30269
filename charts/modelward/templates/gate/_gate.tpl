{{- /* Parts that several policies share. */ -}}

{{- /* Metadata of a cluster-wide object whose name the operator knows: (dict "root" . "name" "…") */ -}}
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

{{- /* Kubernetes controllers that only delete objects without an owner or a namespace. */ -}}
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

{{- /* A binding that has the name of its policy: (dict "root" . "name" "…"). Its parameters: with "parameters" true, the ConfigMap of
     operators; with "namespaced" true, each object of paramKind in the namespace; with "selector", the objects that match it. */ -}}
{{- define "modelward.gate.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "modelward.gate.metadata" . | nindent 2 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny, Audit]
  # The defaults are written out, so that an upgrade restores them if a user narrowed them.
  matchResources: {namespaceSelector: {}, objectSelector: {}, resourceRules: [], excludeResourceRules: []}
  {{- if .parameters }}
  paramRef:
    name: {{ include "modelward.gate.parameters" .root }}
    namespace: {{ .root.Release.Namespace }}
    parameterNotFoundAction: Deny
  {{- else if .namespaced }}
  paramRef: {selector: {}, parameterNotFoundAction: Allow}
  {{- else if .selector }}
  paramRef: {selector: { {{- .selector -}} }, parameterNotFoundAction: Allow}
  {{- end }}
{{- end -}}

{{- /* The user names of the operators by namespace, as YAML; `_others` applies to namespaces that are not listed. */ -}}
{{- define "modelward.gate.operatorsByNamespace" -}}
{{- $operators := deepCopy .Values.gate.operators }}
{{- $watched := default "_others" .Values.operator.watchNamespace }}
{{- $_ := set $operators $watched (prepend (compact (list (get $operators $watched))) (include "modelward.gate.ownUser" .) | join ",") }}
{{- toYaml $operators }}
{{- end -}}

{{- define "modelward.gate.ownUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "modelward.fullname" . }}-operator
{{- end -}}

{{- define "modelward.gate.celList" -}}
[{{- range $i, $one := . }}{{ if $i }}, {{ end }}'{{ $one }}'{{ end -}}]
{{- end -}}

{{- /* CEL: whether the caller is the operator of the request's namespace. The names are
     literals: a missing parameter fails before match conditions are evaluated, and would block every Pod and Service of the cluster. */ -}}
{{- define "modelward.gate.callerIsOperator" -}}
{{- $all := fromYaml (include "modelward.gate.operatorsByNamespace" .) -}}
{{- $others := include "modelward.gate.celList" (compact (splitList "," (default "" (get $all "_others")))) -}}
{{- $named := list -}}
{{- range $namespace := without (keys $all) "_others" | sortAlpha -}}
{{- $named = append $named (printf "'%s': %s" $namespace (include "modelward.gate.celList" (splitList "," (get $all $namespace)))) -}}
{{- end -}}
{{- if $named -}}
{{- $map := printf "{%s}" (join ", " $named) -}}
request.userInfo.username in (request.namespace in {{ $map }} ? {{ $map }}[request.namespace] : {{ $others }})
{{- else -}}
request.userInfo.username in {{ $others }}
{{- end -}}
{{- end -}}

{{- /* CEL: whether gate.children.writers allows the caller to write this kind. */ -}}
{{- define "modelward.gate.callerIsWriter" -}}
{{- $by := dict -}}
{{- range .Values.gate.children.writers -}}
{{- $_ := set $by .user (concat (default list (get $by .user)) .resources | uniq) -}}
{{- end -}}
{{- $rules := list -}}
{{- range $user := keys $by | sortAlpha -}}
{{- $rules = append $rules (printf "(request.userInfo.username == '%s' && request.resource.resource in %s)" $user (include "modelward.gate.celList" (get $by $user))) -}}
{{- end -}}
{{- if $rules -}}({{ join " || " $rules }}){{- else -}}false{{- end -}}
{{- end -}}

{{- /* CEL: the namespaces of the operators, where Pods may have a ledger token. */ -}}
{{- define "modelward.gate.systemNamespaces" -}}
{{- $found := list .Release.Namespace -}}
{{- range $users := values (fromYaml (include "modelward.gate.operatorsByNamespace" .)) -}}
{{- range splitList "," $users -}}
{{- if hasPrefix "system:serviceaccount:" . -}}{{- $found = append $found (index (splitList ":" .) 2) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- include "modelward.gate.celList" (uniq $found | sortAlpha) -}}
{{- end -}}

{{- /* CEL: whether the caller is a Kubernetes controller, with its own or a shared credential. */ -}}
{{- define "modelward.gate.callerIsController" -}}
(request.userInfo.username == 'system:kube-controller-manager' || request.userInfo.username.startsWith('system:serviceaccount:kube-system:'))
{{- end -}}

{{- /* CEL: whether the request is the operator's probe of this policy, which the policy rejects from every user. Argument: the policy. */ -}}
{{- define "modelward.gate.isProbe" -}}
(has(request.options) && request.options != null && has(request.options.fieldManager) && request.options.fieldManager == 'probe-of-{{ . }}')
{{- end -}}

{{- /* The validation that rejects a probe. */ -}}
{{- define "modelward.gate.probe" -}}
- expression: "!{{ include "modelward.gate.isProbe" . }}"
  message: the field manager probe-of-{{ . }} tests whether this policy is enforced
{{- end -}}
