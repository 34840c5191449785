/**
 * Agent certificate approval: certificate requests of agents are approved when their sender may create the subresource
 * that stands for it. Others are left pending; it signs nothing and denies nothing.
 */
import { CertificateSigningRequest, SubjectAccessReview } from "#apis/kubernetes";
import { parseCertificateRequest } from "#certs";
import {
  type ControllerContext,
  defineController,
  done,
  type Request,
  type Result,
  terminal,
} from "#controller-runtime";
import { formatTime, isConflict, isNotFound } from "#machinery";
import { isUndecided, recognize, type Recognizer } from "./plan.ts";

export const agentCsrApproving = defineController<unknown, Record<string, never>>({
  name: "agentcsrapproving",
  reconciles: [CertificateSigningRequest],
  reconcilers: ["agent-csr-approving-controller"],
  when: ({ type, object }) => type !== "deleted" && isUndecided(object as CertificateSigningRequest),
  writes: [
    { kind: CertificateSigningRequest, verbs: ["update"], subresources: ["approval"] },
    { kind: SubjectAccessReview, verbs: ["create"] },
  ],
  options: {},
  reconcile,
});

async function reconcile(request: Request, context: ControllerContext): Promise<Result> {
  const csr = context.cache(CertificateSigningRequest).get(request.key);
  if (csr === undefined || !isUndecided(csr)) return done;
  let ways: readonly Recognizer[];
  try {
    ways = recognize(csr, parseCertificateRequest(Buffer.from(csr.spec.request, "base64").toString("utf8")));
  } catch (error) {
    return terminal(error instanceof Error ? error.message : String(error));
  }
  for (const { subresource, message } of ways) {
    if (!(await mayCreate(csr, subresource, context))) continue;
    const now = formatTime(context.clock.now());
    const condition = {
      type: "Approved",
      status: "True",
      reason: "AutoApproved",
      message,
      lastUpdateTime: now,
      lastTransitionTime: now,
    };
    try {
      await context.client.subresource(CertificateSigningRequest, { name: request.name }, "approval", "update", {
        ...csr,
        status: { ...csr.status, conditions: [...(csr.status?.conditions ?? []), condition] },
      } as CertificateSigningRequest);
    } catch (error) {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    }
    return done;
  }
  return done;
}

async function mayCreate(
  { spec }: CertificateSigningRequest,
  subresource: string,
  { client }: ControllerContext,
): Promise<boolean> {
  const review = await client.create(SubjectAccessReview, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    metadata: {},
    spec: {
      user: spec.username ?? "",
      ...(spec.uid === undefined ? {} : { uid: spec.uid }),
      groups: spec.groups ?? [],
      ...(spec.extra === undefined ? {} : { extra: spec.extra }),
      resourceAttributes: {
        group: "certificates.k8s.io",
        resource: "certificatesigningrequests",
        verb: "create",
        subresource,
      },
    },
  });
  return review.status?.allowed === true;
}
