/** A piece of plain JSON. */
export type Json = Readonly<Record<string, unknown>>;

const filled = new WeakMap<Json, Json>();

/** What kube-apiserver fills into a pod's spec. The same input object gives the same output object. */
export function defaultPodSpec(spec: Json, restartPolicy = "Always"): Json {
  const known = filled.get(spec);
  if (known !== undefined) return known;
  const result: Record<string, unknown> = { ...spec };
  let isChanged = false;
  const put = (key: string, value: unknown) => {
    if (result[key] !== undefined) return;
    result[key] = value;
    isChanged = true;
  };
  put("restartPolicy", restartPolicy);
  put("terminationGracePeriodSeconds", 30);
  put("dnsPolicy", "ClusterFirst");
  put("securityContext", {});
  // A grace of minus one was once written by mistake; it means the shortest.
  if (result["terminationGracePeriodSeconds"] === -1) {
    result["terminationGracePeriodSeconds"] = 1;
    isChanged = true;
  }
  if (result["schedulerName"] === "") delete result["schedulerName"];
  put("schedulerName", "default-scheduler");
  if (result["serviceAccountName"] !== undefined) put("serviceAccount", result["serviceAccountName"]);
  for (const list of ["containers", "initContainers", "ephemeralContainers"]) {
    const containers = spec[list] as readonly Json[] | undefined;
    if (containers === undefined) continue;
    const isOnHost = spec["hostNetwork"] === true;
    const next = containers.map((container) => defaultContainer(container, isOnHost));
    if (next.some((container, at) => container !== containers[at])) {
      result[list] = next;
      isChanged = true;
    }
  }
  const volumes = spec["volumes"] as readonly Json[] | undefined;
  if (volumes !== undefined) {
    const next = volumes.map(defaultVolume);
    if (next.some((volume, at) => volume !== volumes[at])) {
      result["volumes"] = next;
      isChanged = true;
    }
  }
  const output = isChanged ? result : spec;
  filled.set(spec, output);
  filled.set(output, output);
  return output;
}

function defaultContainer(container: Json, isOnHost: boolean): Json {
  const result: Record<string, unknown> = { ...container };
  let isChanged = false;
  const put = (key: string, value: unknown) => {
    if (result[key] !== undefined) return;
    result[key] = value;
    isChanged = true;
  };
  put("terminationMessagePath", "/dev/termination-log");
  put("terminationMessagePolicy", "File");
  put("imagePullPolicy", pullPolicyOf(String(container["image"] ?? "")));
  put("resources", {});
  const ports = container["ports"] as readonly Json[] | undefined;
  const needsHostPort = (port: Json) => isOnHost && port["hostPort"] === undefined;
  if (ports?.some((port) => port["protocol"] === undefined || needsHostPort(port))) {
    result["ports"] = ports.map((port) => ({
      ...(needsHostPort(port) ? { hostPort: port["containerPort"] } : {}),
      protocol: "TCP",
      ...port,
    }));
    isChanged = true;
  }
  // Requests that are left out are what the limits say.
  const resources = result["resources"] as { readonly limits?: Json; readonly requests?: Json };
  if (resources.limits !== undefined) {
    const missing = Object.entries(resources.limits).filter(([name]) => resources.requests?.[name] === undefined);
    if (missing.length > 0) {
      result["resources"] = { ...resources, requests: { ...resources.requests, ...Object.fromEntries(missing) } };
      isChanged = true;
    }
  }
  for (const probe of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const value = container[probe] as Json | undefined;
    if (value === undefined) continue;
    const next: Record<string, unknown> = {
      timeoutSeconds: 1,
      periodSeconds: 10,
      successThreshold: 1,
      failureThreshold: 3,
      ...value,
    };
    const http = value["httpGet"] as Json | undefined;
    if (http !== undefined && (http["scheme"] === undefined || http["path"] === undefined))
      next["httpGet"] = { path: "/", scheme: "HTTP", ...http };
    if (Object.keys(next).length !== Object.keys(value).length || next["httpGet"] !== http) {
      result[probe] = next;
      isChanged = true;
    }
  }
  const env = container["env"] as readonly Json[] | undefined;
  if (env?.some((variable) => needsFieldVersion(variable) || needsDivisor(variable))) {
    result["env"] = env.map((variable) => {
      if (needsDivisor(variable)) {
        const { resourceFieldRef } = variable["valueFrom"] as { readonly resourceFieldRef: Json };
        return { ...variable, valueFrom: { resourceFieldRef: { ...resourceFieldRef, divisor: "0" } } };
      }
      if (!needsFieldVersion(variable)) return variable;
      const from = variable["valueFrom"] as { readonly fieldRef: Json };
      return { ...variable, valueFrom: { ...from, fieldRef: { apiVersion: "v1", ...from.fieldRef } } };
    });
    isChanged = true;
  }
  return isChanged ? result : container;
}

function needsFieldVersion(variable: Json): boolean {
  const field = (variable["valueFrom"] as { readonly fieldRef?: Json } | undefined)?.fieldRef;
  return field !== undefined && field["apiVersion"] === undefined;
}

function needsDivisor(variable: Json): boolean {
  const field = (variable["valueFrom"] as { readonly resourceFieldRef?: Json } | undefined)?.resourceFieldRef;
  return field !== undefined && field["divisor"] === undefined;
}

function defaultVolume(volume: Json): Json {
  if (Object.keys(volume).every((name) => name === "name")) return { ...volume, emptyDir: {} };
  for (const kind of ["configMap", "secret", "downwardAPI", "projected"]) {
    const source = volume[kind] as Json | undefined;
    if (source !== undefined && source["defaultMode"] === undefined)
      return { ...volume, [kind]: { ...source, defaultMode: 420 } };
  }
  const host = volume["hostPath"] as Json | undefined;
  if (host !== undefined && host["type"] === undefined) return { ...volume, hostPath: { ...host, type: "" } };
  return volume;
}

function pullPolicyOf(image: string): string {
  const name = image.slice(image.lastIndexOf("/") + 1);
  if (name.includes("@")) return "IfNotPresent";
  const tag = name.split(":")[1];
  return tag === undefined || tag === "latest" ? "Always" : "IfNotPresent";
}
