import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RunningApiServer } from "#apiserver";
import type { KubeObject } from "#machinery";
import { eventually, startTestApiServer } from "#testing";

const ADMISSION = { group: "admissionregistration.k8s.io", version: "v1" };
const ADMIN = { name: "admin", groups: ["system:masters"] };

describe("connections to what an object stands for", () => {
  let api: RunningApiServer;
  beforeEach(async () => {
    api = await startTestApiServer({
      connect: async (_request, { subresource }) =>
        subresource === "exec" ? { status: 200, headers: {}, body: Buffer.from("connected") } : undefined,
    });
  });
  afterEach(() => api.stop());

  const exec = async (query: string) => {
    const answer = await api.front.handle({
      method: "POST",
      url: `/api/v1/namespaces/default/pods/p/exec?${query}`,
      headers: {},
      body: () => Promise.resolve(Buffer.alloc(0)),
      trustedUser: ADMIN,
    });
    return "body" in answer ? { status: answer.status, text: answer.body.toString("utf8") } : undefined;
  };

  test("policies see them with their options and may refuse them", async () => {
    const create = (resource: string, kind: string, spec: object) =>
      api.transport().send({
        verb: "create",
        ...ADMISSION,
        resource,
        body: {
          apiVersion: "admissionregistration.k8s.io/v1",
          kind,
          metadata: { name: "exec" },
          spec,
        } as unknown as KubeObject,
      });
    await create("validatingadmissionpolicies", "ValidatingAdmissionPolicy", {
      matchConstraints: {
        resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["pods/exec"], operations: ["CONNECT"] }],
      },
      validations: [
        {
          expression: "request.kind.kind == 'PodExecOptions' && object.container != 'secret'",
          messageExpression: "'not into ' + object.container + ' of ' + request.name",
        },
      ],
    });
    expect(await exec("container=secret&command=sh")).toEqual({ status: 200, text: "connected" });
    await create("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", {
      policyName: "exec",
      validationActions: ["Deny"],
    });
    const refused = await eventually(async () => {
      const answer = await exec("container=secret&command=sh");
      return answer?.status === 200 ? undefined : answer;
    });
    expect(refused.status).toBe(422);
    expect(refused.text).toContain("not into secret of p");
    expect(await exec("container=open&command=sh&command=-c")).toEqual({ status: 200, text: "connected" });
  });
});
