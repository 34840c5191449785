import { deepEqual } from "#base";
import { parseCertificateRequest } from "#certs";
import { forbidden, getPath, type KubeObject } from "#machinery";
import type { AdmissionPlugin, AdmissionRequest } from "../admission.ts";
import type { Authorizer } from "./attributes.ts";
import { PRIVILEGED } from "./authorizers.ts";

const CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client";
const GROUP = "certificates.k8s.io";

const isRequest = ({ definition }: AdmissionRequest) =>
  definition.kind.group === GROUP && definition.kind.resource === "certificatesigningrequests";

const signerOf = (object: KubeObject | undefined) => String(getPath(object, "spec", "signerName") ?? "");

/** Groups a request asks for; none when it cannot be read, which its signer finds out. */
function organizationsOf(object: KubeObject | undefined): readonly string[] {
  try {
    const pem = Buffer.from(String(getPath(object, "spec", "request") ?? ""), "base64").toString("utf8");
    return parseCertificateRequest(pem).organizations;
  } catch {
    return [];
  }
}

/** Who approves needs the right for the signer, or for all signers of its domain: `example.com/*`. */
function maySign(authorizer: Authorizer, { user, oldObject, object }: AdmissionRequest, verb: string): boolean {
  const signer = signerOf(oldObject ?? object);
  const domain = `${signer.slice(0, Math.max(0, signer.indexOf("/")))}/*`;
  return [signer, domain].some(
    (name) =>
      authorizer.authorize({
        user,
        verb,
        group: GROUP,
        version: "v1",
        resource: "signers",
        subresource: "",
        namespace: "",
        name,
      }).isAllowed,
  );
}

/** Approval and signing of certificate requests need rights of their own (kube-apiserver's plugins of the same names). */
export function certificateAdmission(authorizer: Authorizer): readonly AdmissionPlugin[] {
  return [
    {
      name: "CertificateSubjectRestriction",
      handles: (request) =>
        isRequest(request) && request.operation === "CREATE" && signerOf(request.object) === CLIENT_SIGNER,
      validate(request) {
        if (!organizationsOf(request.object).includes(PRIVILEGED)) return;
        throw forbidden(
          request.definition.kind,
          request.name,
          `use of ${CLIENT_SIGNER} signer with ${PRIVILEGED} group is not allowed`,
        );
      },
    },
    {
      name: "CertificateApproval",
      handles: (request) => isRequest(request) && request.operation === "UPDATE" && request.subresource === "approval",
      validate(request) {
        if (maySign(authorizer, request, "approve")) return;
        throw forbidden(
          request.definition.kind,
          request.name,
          `user not permitted to approve requests with signerName ${JSON.stringify(signerOf(request.oldObject))}`,
        );
      },
    },
    {
      name: "CertificateSigning",
      handles: (request) =>
        isRequest(request) &&
        request.operation === "UPDATE" &&
        request.subresource === "status" &&
        !deepEqual(getPath(request.oldObject, "status"), getPath(request.object, "status")),
      validate(request) {
        if (maySign(authorizer, request, "sign")) return;
        throw forbidden(
          request.definition.kind,
          request.name,
          `user not permitted to sign requests with signerName ${JSON.stringify(signerOf(request.oldObject))}`,
        );
      },
    },
  ];
}
