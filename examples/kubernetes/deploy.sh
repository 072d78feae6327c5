#!/usr/bin/env bash
# Brings an overlay to the cluster that kubectl talks to, waits until it runs, and has it checked from inside:
#
#     deploy.sh [OVERLAY] [-- OPTIONS OF `ibutsu-tasks deploy check`]
#
# Ends with 0 when the check does, with the code of the check, or with that of the step that failed.
set -euo pipefail

# With CDPATH, cd may go elsewhere, and says where it went.
overlays=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/overlays
overlay=small
if [ $# -gt 0 ] && [ "$1" != -- ]; then
    overlay=$1
    shift
fi
[ "${1:-}" = -- ] && shift
timeout=${ROLLOUT_TIMEOUT:-600s}

step() { printf '== %s\n' "$1" >&2; }
refuse() {
    printf 'deploy.sh: %s\n' "$1" >&2
    exit 2
}

step "prerequisites"
command -v kubectl >/dev/null || refuse "kubectl is not installed."
[ -f "$overlays/$overlay/kustomization.yaml" ] || refuse "there is no overlay $overlay in $overlays."
manifests=$(kubectl kustomize "$overlays/$overlay") || refuse "kubectl 1.27 or newer is needed to read $overlay."
namespace=$(sed -n 's/^namespace: *//p' "$overlays/$overlay/kustomization.yaml")
[ -n "$namespace" ] || refuse "the overlay $overlay names no namespace."
on() { kubectl --request-timeout=30s --namespace "$namespace" "$@"; }
on get namespace "$namespace" --output name >/dev/null ||
    refuse "there is no namespace $namespace, or no cluster: kubectl create namespace $namespace"
# shellcheck disable=SC2016  # the variables are those of the template
keys=$(on get secret ibutsu-tasks --output 'go-template={{range $key, $_ := .data}}{{$key}} {{end}}') ||
    refuse "there is no secret ibutsu-tasks in $namespace; README.md beside this script makes it."
for key in broker-url postgresql-password flower-basic-auth; do
    case " $keys" in
    *" $key "*) ;;
    *) refuse "the secret ibutsu-tasks in $namespace has no key $key." ;;
    esac
done

step "apply"
printf '%s\n' "$manifests" | on apply --server-side --filename -

step "wait for the roll-out"
deployments=$(awk '/^kind:/ { kind = $2 } /^  name:/ && kind == "Deployment" { print $2 }' <<<"$manifests")
for name in $deployments; do
    kubectl --namespace "$namespace" rollout status "deployment/$name" --timeout "$timeout"
done

step "check"
kubectl --namespace "$namespace" exec deployment/ibutsu-tasks-metrics -- ibutsu-tasks deploy check "$@"
