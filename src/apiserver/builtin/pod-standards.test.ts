import { describe, expect, it } from "vitest";
import { type Level, podViolations, policyText } from "./pod-standards.ts";

const SAFE = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
};
const container = (securityContext: object = {}, name = "c") => ({ name, image: "x", securityContext });
const one = (securityContext: object) => ({ containers: [container(securityContext)] });
const ofPod = (securityContext: object) => ({ containers: [container()], securityContext });

/** What a policy such as `baseline:v1.20` says of a pod, as users read it. */
function told(policy: string, spec: object, annotations: Readonly<Record<string, string>> = {}): string {
  const [level, version = ""] = policy.split(":v1.");
  const parsed = { level: level as Level, ...(version === "" ? {} : { minor: Number(version) }) };
  expect(policyText(parsed)).toBe(version === "" ? `${policy}:latest` : policy);
  const found = podViolations(parsed, { annotations }, spec as Readonly<Record<string, unknown>>);
  return found.map(({ reason, detail }) => `${reason} (${detail})`).join(", ");
}

const sysctls = (...names: readonly string[]) => ofPod({ sysctls: names.map((name) => ({ name, value: "1" })) });
const ALL_OF_RESTRICTED =
  'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")';

describe("what the Pod Security Standards say of a pod", () => {
  it.each<[string, string, object, string]>([
    ["privileged takes everything", "privileged", one({ privileged: true }), ""],
    ["baseline takes what says nothing", "baseline", one({}), ""],
    ["restricted asks for four things", "restricted", one({}), ALL_OF_RESTRICTED],
    ["restricted takes what is safe", "restricted", one(SAFE), ""],
    [
      "all kinds of containers are looked at",
      "baseline",
      {
        containers: [container({ privileged: true }), container({}, "d")],
        initContainers: [container({ privileged: true }, "i")],
        ephemeralContainers: [container({ privileged: true }, "e")],
      },
      'privileged (containers "i", "c", "e" must not set securityContext.privileged=true)',
    ],
    [
      "namespaces of the host",
      "baseline",
      { ...one({}), hostNetwork: true, hostPID: true, hostIPC: true },
      "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)",
    ],
    [
      "capabilities beyond the usual",
      "baseline",
      one({ capabilities: { add: ["SYS_ADMIN", "CHOWN", "NET_ADMIN", "SYS_ADMIN"] } }),
      'non-default capabilities (container "c" must not include "NET_ADMIN", "SYS_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      "capabilities that are kept and added",
      "restricted",
      { containers: [container({ ...SAFE, capabilities: { add: ["CHOWN", "NET_BIND_SERVICE"] } })] },
      'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]; container "c" must not include "CHOWN" in securityContext.capabilities.add)',
    ],
    [
      "before 1.22 restricted asks for the usual capabilities only",
      "restricted:v1.21",
      one({ ...SAFE, capabilities: { add: ["CHOWN", "NET_ADMIN"] } }),
      'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
    ],
    [
      "paths of the host",
      "baseline",
      {
        ...one({}),
        volumes: [
          { name: "b", hostPath: { path: "/b" } },
          { name: "n", nfs: {} },
          { name: "a", hostPath: {} },
        ],
      },
      'hostPath volumes (volumes "b", "a")',
    ],
    [
      "volumes by type, in place of paths of the host",
      "restricted",
      {
        ...one(SAFE),
        volumes: [
          { name: "s", secret: {} },
          { name: "n", nfs: {} },
          { name: "a", hostPath: {} },
          { name: "m", nfs: {} },
        ],
      },
      'restricted volume types (volumes "n", "a", "m" use restricted volume types "hostPath", "nfs")',
    ],
    [
      "one volume",
      "restricted",
      { ...one(SAFE), volumes: [{ name: "n", nfs: {} }] },
      'restricted volume types (volume "n" uses restricted volume type "nfs")',
    ],
    [
      "ports of the host, sorted as text",
      "baseline",
      {
        containers: [
          { name: "c", ports: [{ hostPort: 9080 }, { hostPort: 180 }, { hostPort: 0 }, { hostPort: 9080 }] },
        ],
      },
      'hostPort (container "c" uses hostPorts 180, 9080)',
    ],
    [
      "hosts of probes",
      "baseline",
      {
        containers: [
          {
            name: "d",
            livenessProbe: { httpGet: { host: "z" } },
            lifecycle: { preStop: { tcpSocket: { host: "a" } } },
          },
        ],
        initContainers: [{ name: "i", restartPolicy: "Always", startupProbe: { tcpSocket: { host: "a" } } }],
      },
      'probe or lifecycle host (containers "d", "i" use probe or lifecycle hosts "a", "z")',
    ],
    [
      "hosts of probes before they were looked at",
      "baseline:v1.33",
      { containers: [{ name: "c", livenessProbe: { httpGet: { host: "z" } } }] },
      "",
    ],
    [
      "AppArmor of the pod and of a container",
      "baseline",
      { ...ofPod({ appArmorProfile: { type: "Unconfined" } }), ...one({ appArmorProfile: { type: "Unconfined" } }) },
      'forbidden AppArmor profile (pod and container "c" must not set AppArmor profile type to "Unconfined")',
    ],
    [
      "SELinux",
      "baseline",
      {
        containers: [
          container({ seLinuxOptions: { type: "b_t", user: "u" } }),
          container({ seLinuxOptions: { role: "r" } }, "d"),
        ],
        securityContext: { seLinuxOptions: { type: "a_t" } },
      },
      'seLinuxOptions (pod and containers "c", "d" set forbidden securityContext.seLinuxOptions: types "a_t", "b_t"; user may not be set; role may not be set)',
    ],
    ["engines since 1.31", "baseline:v1.31", ofPod({ seLinuxOptions: { type: "container_engine_t" } }), ""],
    [
      "engines before 1.31",
      "baseline:v1.30",
      ofPod({ seLinuxOptions: { type: "container_engine_t" } }),
      'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "container_engine_t")',
    ],
    [
      "mounts of proc before pods had users",
      "baseline:v1.34",
      { ...one({ procMount: "Unmasked" }), hostUsers: false },
      'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ],
    ["mounts of proc since then", "baseline:v1.35", { ...one({ procMount: "Unmasked" }), hostUsers: false }, ""],
    [
      "restricted takes no such mount at all",
      "restricted",
      { ...one({ ...SAFE, procMount: "Unmasked" }), hostUsers: false },
      'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ],
    [
      "seccomp below baseline",
      "baseline",
      ofPod({ seccompProfile: { type: "Unconfined" } }),
      'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    ["seccomp's field before it counted", "baseline:v1.18", ofPod({ seccompProfile: { type: "Unconfined" } }), ""],
    [
      "who says Unconfined is told before who says nothing",
      "restricted",
      {
        containers: [
          container({ ...SAFE, seccompProfile: { type: "Unconfined" } }),
          container({ ...SAFE, seccompProfile: undefined }, "d"),
        ],
      },
      'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    ["sysctls since 1.29", "baseline:v1.29", sysctls("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_syncookies"), ""],
    [
      "sysctls by version",
      "baseline:v1.28",
      sysctls("net.ipv4.tcp_rmem", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time"),
      "forbidden sysctls (net.ipv4.tcp_rmem, net.ipv4.tcp_keepalive_time)",
    ],
    [
      "processes of a Windows host",
      "baseline",
      ofPod({ windowsOptions: { hostProcess: true } }),
      "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
    ],
    [
      "a pod that may be root, whatever its containers say",
      "restricted",
      { ...one(SAFE), securityContext: { runAsNonRoot: false } },
      "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
    ],
    [
      "root by number",
      "restricted",
      one({ ...SAFE, runAsUser: 0 }),
      'runAsUser=0 (container "c" must not set runAsUser=0)',
    ],
    ["root by number before 1.23", "restricted:v1.22", one({ ...SAFE, runAsUser: 0 }), ""],
    [
      "root in a pod with users of its own",
      "restricted",
      { ...one({ ...SAFE, runAsNonRoot: false, runAsUser: 0 }), hostUsers: false },
      "",
    ],
    [
      "Windows knows no profiles",
      "restricted",
      { ...one({}), os: { name: "windows" }, securityContext: { runAsNonRoot: true } },
      "",
    ],
    [
      "Windows was asked for them before 1.25",
      "restricted:v1.8",
      { ...one({}), os: { name: "windows" }, securityContext: { runAsNonRoot: true } },
      'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
    ],
  ])("%s", (_, policy, spec, expected) => {
    expect(told(policy, spec)).toBe(expected);
  });

  it("reads annotations that were profiles once", () => {
    const seccomp = {
      "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
      "container.seccomp.security.alpha.kubernetes.io/nobody": "unconfined",
    };
    expect(told("baseline:v1.18", one({}), seccomp)).toBe(
      'seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")',
    );
    expect(told("baseline", one({}), seccomp)).toBe("");
    expect(told("baseline", one({}), { "container.apparmor.security.beta.kubernetes.io/c": "unconfined" })).toBe(
      'forbidden AppArmor profile (annotation must not set AppArmor profile type to "container.apparmor.security.beta.kubernetes.io/c="unconfined"")',
    );
  });
});
